"""The lock file of a raw folder: what was fetched and unpacked there, so that it can be told later what the data were."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xmodbench.data.download.disk import exclusive
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json

LOCK = "download.lock.json"
FORMAT_VERSION = 1
ARCHIVES = {".zip", ".tar"}


class LockFile:
    """``download.lock.json`` of a raw folder; every change is written at once, over what other processes have written.

    ``files``: by name: url (without its query; null for a file put there by hand), size, md5, sha256, when it was
    fetched. ``unpacked``: by archive: whether it is complete, its sha256, and the size of each file that came out of it.
    """

    def __init__(self, raw_dir: Path):
        self.raw_dir, self.path = Path(raw_dir), Path(raw_dir) / LOCK
        self.data = self._read()

    def file(self, name: str) -> dict[str, Any] | None:
        """What is known of a fetched file."""
        return self.data["files"].get(name)

    def add_file(self, name: str, facts: dict[str, Any]) -> None:
        """Write down a fetched (or found and checked) file."""
        status = (self.raw_dir / name).stat()
        with self._change() as data:
            data["files"][name] = {**facts, "mtime_ns": status.st_mtime_ns}

    def forget_file(self, name: str) -> None:
        """Let another file come under a name: the one written down was of no use."""
        with self._change() as data:
            data["files"].pop(name, None)

    def unchanged(self, name: str) -> bool:
        """Whether a file is as it was when it was written down, by size and time."""
        known, path = self.file(name), self.raw_dir / name
        if known is None or not path.is_file():
            return False
        status = path.stat()
        return (status.st_size, status.st_mtime_ns) == (known["size"], known["mtime_ns"])

    def begin_unpacking(self, archive: str) -> None:
        """Mark an archive as half unpacked: whatever of it lies there is not to be trusted."""
        with self._change() as data:
            data["unpacked"][archive] = {"complete": False, "files": {}}

    def end_unpacking(self, archive: str, paths: list[Path]) -> None:
        """Mark an archive as unpacked into `paths`."""
        files = {path.relative_to(self.raw_dir).as_posix(): path.stat().st_size for path in paths}
        with self._change() as data:
            data["unpacked"][archive] = {"complete": True, "files": files, "sha256": data["files"][archive]["sha256"]}

    def is_the_one_unpacked(self, archive: str) -> bool:
        """Whether the archive that lies there is the one whose contents do, and not another in its place."""
        sha256 = self.data["unpacked"][archive].get("sha256")  # not in lock files of old
        return self.unchanged(archive) and sha256 in (None, self.data["files"][archive]["sha256"])

    def unpacked_files(self, archive: str) -> list[Path]:
        """What came out of an archive the last time, whether it is still there or not."""
        return [self.raw_dir / name for name in self.data["unpacked"].get(archive, {}).get("files", {})]

    def is_unpacked(self, archive: str) -> bool | None:
        """Whether all that came out of an archive is there; None if it was never unpacked by us."""
        known = self.data["unpacked"].get(archive)
        if known is None:
            return None
        paths = {self.raw_dir / name: size for name, size in known["files"].items()}
        return known["complete"] and all(p.is_file() and p.stat().st_size == size for p, size in paths.items())

    def _read(self) -> dict[str, Any]:
        data = {"format": FORMAT_VERSION, "files": {}, "unpacked": {}}
        if self.path.is_file():
            data = read_json(self.path)
        if not isinstance(data, dict) or data.get("format") != FORMAT_VERSION:
            raise UserError("not a lock file of this version", self.path, "move it away and run again")
        return data

    @contextmanager
    def _change(self) -> Iterator[dict[str, Any]]:
        # not the lock file itself is held: it is replaced, and who waits for the old one would hold nothing
        with exclusive(self.path.with_name(f".{LOCK}.held"), wait=True):
            self.data = self._read()
            yield self.data
            write_json(self.path, self.data)


def given_archives(raw_dir: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times (ns) of the archives that were put into a raw folder by hand.

    An archive stays in this list when it is deleted after unpacking, and one that was fetched does not come into it: the
    list changes only where somebody adds an archive or replaces one.
    """
    raw_dir = Path(raw_dir)
    try:
        lock = LockFile(raw_dir)
    except UserError:  # the job says it
        return []
    known = {name: facts for name, facts in lock.data["files"].items() if Path(name).suffix in ARCHIVES}
    listed = {name: (facts["size"], facts["mtime_ns"]) for name, facts in known.items() if facts["url"] is None}
    for path in raw_dir.glob("*"):
        if path.suffix in ARCHIVES and not path.name.startswith("."):
            with suppress(FileNotFoundError):  # it went just now
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and not lock.unchanged(path.name):
                    listed[path.name] = (status.st_size, status.st_mtime_ns)
    return sorted((name, *facts) for name, facts in listed.items())
