"""What a disk may refuse, in words for people; and one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xmodbench.data.download.remote import human_size
from xmodbench.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a UserError; other errors go on."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            fix = "free some space or raise the quota and run again; what was fetched so far is kept"
            raise UserError("no space is left for it", path, fix) from None
        if error.errno in _CLOSED and (unreadable := _unreadable(error.filename)):
            raise UserError("may not be read", unreadable, "change its rights") from None
        if error.errno in _CLOSED:
            raise UserError("cannot be written here", path, "change the folder's rights or `paths.raw`") from None
        raise


def _unreadable(name: object) -> Path | None:
    """What keeps a file from being read, the file itself or its folder; None where it is writing that is refused."""
    if not isinstance(name, str | os.PathLike):
        return None
    place = Path(name) if os.path.exists(name) else Path(name).parent
    return None if os.access(place, os.R_OK) else place


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError where `needed` bytes do not fit into a folder's disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        problem = f"{human_size(needed)} are needed, {human_size(free)} are free"
        raise UserError(problem, folder, "free some space, or put `paths.raw` elsewhere")


class Busy(UserError):
    """Another process holds a file."""


class NoLocks(UserError):
    """A disk on which no process can hold a file against others."""


@contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[BinaryIO]:
    """Hold a file, made where it is missing, against other processes until the block ends; yields it, open to append.

    The kernel lets go of what a process held that was killed, once no child has the file open either.

    Raises:
        Busy: another process holds it, and this one is not to wait for it.
        NoLocks: nothing can be held there.
        UserError: the disk is full or may not be written.
    """
    with disk_errors(path):
        handle = open(path, "ab")  # noqa: SIM115 (closed below; errors of the block are not those of opening)
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                fix = "put `paths.raw` on one that has, or mount it with locks"
                raise NoLocks(f"this disk has no file locks ({error.strerror})", path, fix) from None
            raise Busy("another process is fetching it", path, "wait until it has finished") from None
        yield handle
