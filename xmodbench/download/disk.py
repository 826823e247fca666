"""What a disk may refuse, in words for people; and one process at a time."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmodbench.download.remote import human_size
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
        if error.errno in _CLOSED:
            raise UserError("cannot be written here", path, "change the folder's rights or `paths.raw`") from None
        raise


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError where `needed` bytes do not fit into a folder's disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        problem = f"{human_size(needed)} are needed, {human_size(free)} are free"
        raise UserError(problem, folder, "free some space, or put `paths.raw` elsewhere")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file, made where it is missing, against other processes until the block ends."""
    with disk_errors(path):
        handle = open(path, "ab")  # noqa: SIM115 (closed below; errors of the block are not those of opening)
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("another process is fetching it", path, "wait until it has finished") from None
        yield
