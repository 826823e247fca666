"""What a raw folder held when `acquire` was done with it, so that whatever changes which file is whose is noticed.

Names alone do not tell (files can change places), nor do times (copies keep them): contents are compared. They are read
again only where size, times or place on the disk differ from what they were.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.elsewhere import volume_files
from xmodbench.errors import UserError
from xmodbench.files import files_below, read_json, sha256_file, sha256_json, write_json

RAW_STATE = "raw.json"
"""Beside the records of a data set. No output of a job: it has to outlast the record, which is deleted before a rerun."""

NO_SCANS = frozenset(
    {
        *(".zip", ".tar", ".part"),  # archives have a listing of their own (`given_archives`)
        *(".json", ".csv", ".tsv", ".txt", ".md", ".log", ".yaml", ".yml", ".html", ".png", ".svg", ".pdf", ".py"),
        *(".npy", ".npz", ".safetensors"),  # what a run writes, where the raw folder holds its folders too
    }
)


@dataclass(frozen=True)
class RawState:
    """Contents of a raw folder.

    Attributes:
        files: by name relative to the folder: ``sha256``; ``size`` and ``stamp`` (times and place on the disk); ``link``,
            where a link leads, if the name is or lies behind one.
        seen: what the plan was told of the folder before `acquire` began (see `seen`).
    """

    files: dict[str, dict[str, Any]]
    seen: str

    @classmethod
    def read(cls, out: Path) -> RawState | None:
        """The state written down in a data set's folder, None where there is none."""
        with suppress(UserError, TypeError):
            return cls(**read_json(Path(out) / RAW_STATE))
        return None

    @classmethod
    def of(cls, raw_dir: Path, known: RawState | None, seen: str | None) -> RawState:
        """The present state; what is `known` already saves reading files again."""
        files = {}
        for name, facts in _listed(raw_dir):
            old: dict[str, Any] = (known.files.get(name) if known else None) or {}
            same = "sha256" in old and all(old.get(key) == facts.get(key) for key in ("size", "stamp"))
            with suppress(FileNotFoundError):  # it went just now: so it is no part of the state
                files[name] = {**facts, "sha256": old["sha256"] if same else sha256_file(Path(raw_dir) / name)}
        if seen is None:
            seen = known.seen if known else ""
        return cls(files, seen)

    def write(self, out: Path) -> None:
        """Write it down in a data set's folder."""
        write_json(Path(out) / RAW_STATE, {"files": self.files, "seen": self.seen})

    def difference(self, raw_dir: Path, only: Collection[str] | None = None) -> str | None:
        """What is different in the folder now, in a clause about the first file; None where all is as it was.

        Args:
            only: names of the files that matter; all if left out.
        """
        now = dict(_listed(raw_dir))
        for name in sorted({*self.files, *now} if only is None else only):
            old, new = self.files.get(name), now.get(name)
            if old is None or new is None:
                return f"{name} {'has gone' if new is None else 'is new'}"
            if old.get("link") != new.get("link"):
                return f"{name} leads elsewhere"
            if old["size"] != new["size"]:
                return f"{name} has changed"
            if old["stamp"] != new["stamp"] and old["sha256"] != sha256_file(Path(raw_dir) / name):
                return f"{name} has changed"
        return None


def seen(raw_dir: Path, out: Path) -> str:
    """What a plan is told of a raw folder: the same as long as it is as `acquire` left it, and something new otherwise.

    `acquire` itself changes the folder. So this is what it was told the last time, which it wrote down with the state it
    left, unless that state has changed.
    """
    known = RawState.read(out)
    try:
        if known is not None and known.difference(raw_dir) is None:
            return known.seen
        listing = [(name, facts["size"], facts["stamp"], facts.get("link")) for name, facts in _listed(raw_dir)]
    except OSError as error:
        return f"cannot be read: {error}"  # the job says it
    return sha256_json([listing, known and known.files])[:16]


def state_name(path: Path, raw_dir: Path) -> str:
    """A file's name in a state: relative to the folder if it lies there, as a header may name one that lies elsewhere."""
    return path.relative_to(raw_dir).as_posix() if path.is_relative_to(raw_dir) else str(path)


def _scans(raw_dir: Path) -> Iterator[str]:
    """Names of the files that may be scans, those included that are so only because a header says it."""
    names, further = set(), []
    for path in files_below(raw_dir):
        name = state_name(path, raw_dir)
        if path.suffix.lower() not in NO_SCANS and not name.startswith("__MACOSX"):
            names.add(name)
            yield name
            further += volume_files(path)[1:]
    yield from sorted({state_name(path, raw_dir) for path in further} - names)


def _listed(raw_dir: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of the files that may be scans, with what can be told without reading their voxels."""
    root, raw_dir = os.path.realpath(raw_dir), Path(raw_dir)
    for name in _scans(raw_dir):
        path = raw_dir / name
        try:
            status = path.stat()
        except (OSError, ValueError):  # a link that leads nowhere, gone just now, or named by a header that is none
            continue
        if not stat.S_ISREG(status.st_mode):  # a header may name anything
            continue
        real = os.path.realpath(path)
        facts: dict[str, Any] = {
            "size": status.st_size,
            "stamp": [status.st_mtime_ns, status.st_ctime_ns, status.st_ino],
        }
        if real != os.path.join(root, name):
            facts["link"] = os.path.relpath(real, root)
        yield name, facts
