"""Archives to volumes: fetch what is missing, check what is there, unpack what is not unpacked."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from xmodbench.data.download.access import OPEN, Access
from xmodbench.data.download.archive import check_file, extract
from xmodbench.data.download.disk import disk_errors
from xmodbench.data.download.errors import Damaged
from xmodbench.data.download.fetch import fetch
from xmodbench.data.download.lockfile import LockFile
from xmodbench.data.download.remote import human_size, mirrored, public
from xmodbench.errors import UserError
from xmodbench.plugins import RemoteFile
from xmodbench.progress import Progress


def obtain(file: RemoteFile, raw_dir: Path, progress: Progress, access: Access = OPEN) -> Path:
    """The file in the raw folder: as it is there if it is right, else fetched.

    Where nobody publishes a digest, the first one seen is kept in the lock file and asked for again.

    Raises:
        NotFetched: it cannot be had.
        Damaged: what is there, or what comes, is not what was published or seen before.
        UserError: it is a file that only a person can get, or see `fetch`.
    """
    with disk_errors(raw_dir):
        Path(raw_dir).mkdir(parents=True, exist_ok=True)
    lock, path = LockFile(raw_dir), Path(raw_dir) / file.name
    known = lock.file(file.name)
    if known and not _has_digest(file):
        file = dataclasses.replace(file, sha256=known["sha256"])
    if path.is_file():
        if not (known and lock.unchanged(file.name) and _agrees(known, file)):
            progress.say(f"checking {path}")
            check_file(path, size=file.size, md5=file.md5, sha256=file.sha256)
            lock.add_file(file.name, {"url": None, "size": path.stat().st_size, **_digests(path), "fetched": None})
        return path
    if not file.urls:
        raise UserError(f"{file.name} is not here", raw_dir, file.note)
    progress.say(f"fetching {public(mirrored(file.urls[0]))} ({human_size(file.size)})")
    lock.add_file(file.name, fetch(file, path, progress, access))
    return path


def is_unpacked(file: RemoteFile, raw_dir: Path, *, present: bool = False) -> bool:
    """Whether the contents of an archive are in the raw folder, so that the archive itself is not needed.

    Args:
        present: whether files like its contents lie there: without archive and lock file they are the user's own.
    """
    lock, there = LockFile(raw_dir), (Path(raw_dir) / file.name).is_file()
    state = lock.is_unpacked(file.name)
    if state is None:
        return present and not there
    return state and (not there or lock.is_the_one_unpacked(file.name))


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
        present: see `is_unpacked`.
        endings, flat: see `extract`.
        into: folder below the raw folder.

    Raises:
        NotFetched, Damaged, UserError: see `obtain` and `extract`.
    """
    raw_dir = Path(raw_dir)
    if is_unpacked(file, raw_dir, present=present):
        return
    path = obtain(file, raw_dir, progress, access)
    lock = LockFile(raw_dir)
    for old in lock.unpacked_files(file.name):
        old.unlink(missing_ok=True)
    lock.begin_unpacking(file.name)
    progress.say(f"unpacking {path}")
    try:
        written = extract(path, raw_dir / into, endings=endings, flat=flat, progress=progress)
        if not written:
            raise Damaged("holds none of the files expected", path, "delete it and run again")
    except Damaged:
        # its digest was only what came: it must not hold the archive that takes its place to that
        if not _has_digest(file):
            lock.forget_file(file.name)
        raise
    lock.end_unpacking(file.name, written)


def _has_digest(file: RemoteFile) -> bool:
    return bool(file.md5 or file.sha256)


def _agrees(known: dict[str, Any], file: RemoteFile) -> bool:
    """Whether what the lock file says of a file fits what was published, perhaps learnt only now."""
    return all(getattr(file, name) in (None, known[name]) for name in ("size", "md5", "sha256"))


def _digests(path: Path) -> dict[str, str]:
    found = {}
    for name in ("md5", "sha256"):
        with open(path, "rb") as handle:
            found[name] = hashlib.file_digest(handle, name).hexdigest()
    return found
