"""fetch: have one archive of a data set, so that several come side by side and each has a log of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.download.fetched import FETCHED
from xmodbench.errors import UserError, did_you_mean
from xmodbench.plugins import Dataset
from xmodbench.progress import Progress
from xmodbench.records import recorded


def fetch(dataset: Dataset, archive: str, raw_dir: Path, out: Path, progress: Progress, **facts: Any) -> None:
    """Fetch an archive into ``raw_dir``, or check the one that is there; `acquire` unpacks it.

    What cannot be had is no failure, or nineteen archives without a token would be nineteen of them: the reason is
    written down, and `acquire` tries again what is lacking then, or does without, or says in one line what to do.
    ``<out>/fetch/<archive>.record.json`` holds ``not_fetched``, the reason or null.

    Raises:
        UserError: the data set has no such archive.
    """
    from xmodbench.data.download.disk import disk_errors

    files = {file.name: file for file in dataset.archives()} if isinstance(dataset, FromArchives) else {}
    if archive not in files:
        known = did_you_mean(archive, files) or (f"known: {', '.join(files)}" if files else "it has none to fetch")
        raise UserError(f"no archive '{archive}'", facts.get("name"), known)
    assert isinstance(dataset, FromArchives)  # no other has any
    place = {"raw": str(raw_dir), "archive": archive}
    with recorded(out / FETCHED, "fetch", f"{archive}.record.json", **place, **facts) as record:
        try:
            with disk_errors(raw_dir):
                if archive in {file.name for file in dataset.needed(raw_dir)}:
                    dataset.fetch(files[archive], raw_dir, progress)
            record["not_fetched"] = None
        except UserError as error:
            record["not_fetched"] = str(error)
            progress.say(f"not fetched: {error}")
