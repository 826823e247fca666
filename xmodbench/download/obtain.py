"""Archives to volumes: fetch what is missing, check what is there, unpack what is not unpacked."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from xmodbench.download.access import OPEN, Access
from xmodbench.download.archive import check_file, extract
from xmodbench.download.disk import disk_errors
from xmodbench.download.fetch import fetch
from xmodbench.download.lockfile import LockFile
from xmodbench.download.remote import RemoteFile, human_size, public
from xmodbench.errors import UserError
from xmodbench.progress import Progress


def obtain(file: RemoteFile, raw_dir: Path, progress: Progress, access: Access = OPEN) -> Path:
    """The file in the raw folder: as it is there if it is right, else fetched.

    Where nobody publishes a digest, the first one seen is kept in the lock file and asked for again.

    Raises:
        UserError: it cannot be had, or what is there is not what was published.
    """
    with disk_errors(raw_dir):
        Path(raw_dir).mkdir(parents=True, exist_ok=True)
    lock, path = LockFile(raw_dir), Path(raw_dir) / file.name
    known = lock.file(file.name)
    if known and not (file.md5 or file.sha256):
        file = dataclasses.replace(file, sha256=known["sha256"])
    if path.is_file():
        if not lock.unchanged(file.name):
            progress.say(f"checking {path}")
            check_file(path, size=file.size, md5=file.md5, sha256=file.sha256)
            lock.add_file(file.name, {"url": None, "size": path.stat().st_size, **_digests(path), "fetched": None})
        return path
    if not file.urls:
        raise UserError(f"{file.name} is not here", raw_dir, file.note)
    progress.say(f"fetching {public(file.urls[0])} ({human_size(file.size)})")
    lock.add_file(file.name, fetch(file, path, progress, access))
    return path


def unpack(
    file: RemoteFile,
    raw_dir: Path,
    progress: Progress,
    access: Access = OPEN,
    *,
    present: bool = False,
    endings: tuple[str, ...] = (),
    flat: bool = True,
    into: str = "",
) -> None:
    """Make the contents of an archive be in the raw folder.

    Args:
        file: the archive; it may be deleted once it is unpacked.
        present: whether files like its contents lie there: without archive and lock file they are the user's own.
        endings, flat: see `extract`.
        into: folder below the raw folder.
    """
    raw_dir = Path(raw_dir)
    state = LockFile(raw_dir).is_unpacked(file.name)
    if state or (state is None and present and not (raw_dir / file.name).is_file()):
        return
    path = obtain(file, raw_dir, progress, access)
    lock = LockFile(raw_dir)
    lock.begin_unpacking(file.name)
    progress.say(f"unpacking {path}")
    written = extract(path, raw_dir / into, endings=endings, flat=flat, progress=progress)
    if not written:
        raise UserError("holds none of the files expected", path, "delete it and run again")
    lock.end_unpacking(file.name, written)


def _digests(path: Path) -> dict[str, str]:
    found = {}
    for name in ("md5", "sha256"):
        with open(path, "rb") as handle:
            found[name] = hashlib.file_digest(handle, name).hexdigest()
    return found
