"""Records of acquiring and fetching: where they stand, and when a fetch is tried again."""

from __future__ import annotations

from pathlib import Path

from xmodbench.files import read_json

ACQUIRED = "acquire.record.json"
FETCHED = "fetch"
"""Folder, within a data set's, of a record for each archive that a job of its own fetched."""


def forget_not_fetched(out: Path) -> None:
    """Remove the records of archives that could not be had, unless `acquire` did without: the next run tries again."""
    if (out / ACQUIRED).is_file():
        return
    for path in (out / FETCHED).glob("*.record.json"):
        if read_json(path).get("not_fetched"):
            path.unlink()
