"""The lock file of a raw folder: what was fetched and unpacked there, so that it can be told later what the data were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json

LOCK = "download.lock.json"
FORMAT_VERSION = 1


class LockFile:
    """``download.lock.json`` of a raw folder; every change is written at once.

    ``files``: by name: url (without its query), size, md5, sha256, when it was fetched. ``unpacked``: by archive: whether
    it is complete, and the size of each file that came out of it.
    """

    def __init__(self, raw_dir: Path):
        self.raw_dir, self.path = Path(raw_dir), Path(raw_dir) / LOCK
        self.data: dict[str, Any] = {"format": FORMAT_VERSION, "files": {}, "unpacked": {}}
        if self.path.is_file():
            self.data = read_json(self.path)
        if not isinstance(self.data, dict) or self.data.get("format") != FORMAT_VERSION:
            raise UserError("not a lock file of this version", self.path, "move it away and run again")

    def file(self, name: str) -> dict[str, Any] | None:
        """What is known of a fetched file."""
        return self.data["files"].get(name)

    def add_file(self, name: str, facts: dict[str, Any]) -> None:
        """Write down a fetched (or found and checked) file."""
        stat = (self.raw_dir / name).stat()
        self.data["files"][name] = {**facts, "mtime_ns": stat.st_mtime_ns}
        self._write()

    def unchanged(self, name: str) -> bool:
        """Whether a file is as it was when it was written down, by size and time."""
        known, path = self.file(name), self.raw_dir / name
        if known is None or not path.is_file():
            return False
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (known["size"], known["mtime_ns"])

    def begin_unpacking(self, archive: str) -> None:
        """Mark an archive as half unpacked: whatever of it lies there is not to be trusted."""
        self.data["unpacked"][archive] = {"complete": False, "files": {}}
        self._write()

    def end_unpacking(self, archive: str, paths: list[Path]) -> None:
        """Mark an archive as unpacked into `paths`."""
        files = {path.relative_to(self.raw_dir).as_posix(): path.stat().st_size for path in paths}
        self.data["unpacked"][archive] = {"complete": True, "files": files}
        self._write()

    def is_unpacked(self, archive: str) -> bool | None:
        """Whether all that came out of an archive is there; None if it was never unpacked by us."""
        known = self.data["unpacked"].get(archive)
        if known is None:
            return None
        paths = {self.raw_dir / name: size for name, size in known["files"].items()}
        return known["complete"] and all(p.is_file() and p.stat().st_size == size for p, size in paths.items())

    def _write(self) -> None:
        write_json(self.path, self.data)
