"""What lies where the results of `apply` go, and whose it is: nothing is replaced but what this command wrote itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.elsewhere import volume_files
from xmodbench.errors import UserError
from xmodbench.files import files_below, read_json, sha256_file, sha256_files
from xmodbench.stages.apply_items import Item

VERB = "apply"
RENAME = "give the result another name"


@dataclass(frozen=True)
class Earlier:
    """What this command left at a result's place.

    Attributes:
        record: of an earlier result, empty without one.
        writing: names of files that a call was writing when it failed or was killed.
    """

    record: Mapping[str, Any]
    writing: Sequence[str]

    def claims(self, path: Path) -> bool:
        """Whether a file or folder of this name was written here."""
        return path.name in (*self.writing, *self._hashes())

    def wrote(self, path: Path) -> bool:
        """Whether what lies there is what was written, as far as is known."""
        if not self.claims(path) or not (path.is_file() or _is_series(path)):
            return False
        known = self._hashes().get(path.name)
        return path.name in self.writing or known in (None, output_sha256(path))

    def _hashes(self) -> dict[str, str | None]:
        """By name; earlier versions kept none of series."""
        found = {self.record["result"]: self.record.get("output_sha256")} if "result" in self.record else {}
        if spread := self.record.get("spread"):
            found[spread["file"]] = spread["sha256"]
        return found


def output_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, or of the files of a series."""
    return sha256_file(path) if path.is_file() else sha256_files(files_below(path), path)


def check_apart(items: Sequence[Item], samples: int) -> None:
    """Refuse results that would take the place of a volume that is given, or of each other.

    Raises:
        UserError: one would.
    """
    given = {_same(file) for item in items for path in item.given.values() for file in volume_files(path)}
    written: dict[Path, str] = {}
    for item in items:
        if not item.out.name:
            raise UserError("is there already, and no result of this command", item.out, "name a new folder")
        about = item.out.name
        places = {item.out: "the result itself", item.record: f"the record of {about}"}
        places |= {item.failure: f"the failure of {about}", item.spread: f"the standard deviation of {about}"}
        for path, what in places.items():
            if _same(path) in given:
                problem = "is the volume itself" if path == item.out else f"is given, and is the name of {what}"
                raise UserError(problem, path, RENAME)
            if path == item.spread and samples == 1:
                continue
            if (other := written.setdefault(path.resolve(), what)) != what:
                fix = "rename one of the volumes, or leave out --samples"
                raise UserError(f"would be both {other} and {what}", path, fix)


def _same(path: Path) -> object:
    """What two names of one file have in common."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


def earlier_of(item: Item, samples: int) -> Earlier:
    """What an earlier call left where a result goes.

    Raises:
        UserError: anything else lies there, or a record beside it is another result's.
    """
    for path in (item.record, item.failure):
        if os.path.lexists(path) and not _said(path):
            raise UserError("is there already, and no record of this command", path, RENAME)
    earlier = Earlier(_said(item.record), _said(item.failure).get("writing", []))
    other = item.out.with_name(earlier.record.get("result", item.out.name))
    if other != item.out and other.exists():
        raise UserError(f"says how {other.name} came about, and would be replaced", item.record, RENAME)
    _check_place(item.out, earlier, "name a new folder" if item.dicom else f"{RENAME}, or move it away")
    if samples > 1 or _said(_record_of(item.spread)).get("result") != item.spread.name:
        # of a single sample too: it would pass for that of the new result
        _check_place(item.spread, earlier, f"it has the name of a standard deviation: {RENAME}, or move it away")
    return earlier


def _check_place(path: Path, earlier: Earlier, fix: str) -> None:
    """Refuse a place where anything lies but what was written by this command; an empty folder is nothing."""
    if not os.path.lexists(path) or earlier.wrote(path) or (path.is_dir() and not any(path.iterdir())):
        return
    changed = earlier.claims(path) and path.is_file()
    problem = (
        "was changed since this command wrote it" if changed else "is there already, and no result of this command"
    )
    raise UserError(problem, path, fix)


def _is_series(folder: Path) -> bool:
    return folder.is_dir() and all(re.fullmatch(r"\d{4,}\.dcm", path.name) for path in folder.iterdir())


def _record_of(path: Path) -> Path:
    return Item({}, path, "").record


def _said(path: Path) -> dict[str, Any]:
    """What a record of this command says; nothing where there is none, or another's file."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) and found.get("verb") == VERB else {}
