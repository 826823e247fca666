"""Unpacking downloaded archives without trusting them."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from xmodbench.errors import UserError
from xmodbench.files import atomic_file

MAX_FILE_BYTES = 2 << 30
MAX_TOTAL_BYTES = 60 << 30
_DAMAGED = "fetch the archive again"


def check_file(path: Path, *, size: int | None = None, md5: str | None = None, sha256: str | None = None) -> None:
    """Compare a file with its published size and digest.

    Raises:
        UserError: it differs.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise UserError(
            f"has {found:,} bytes, {size:,} were published", path, "finish the download (wget -c) or start again"
        )
    for name, expected in (("md5", md5), ("sha256", sha256)):
        if expected is None:
            continue
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, name).hexdigest()
        if digest != expected:
            raise UserError(f"{name} is {digest}, {expected} was published", path, _DAMAGED)


def extract(archive: Path, directory: Path, *, endings: tuple[str, ...] = (), flat: bool = True) -> list[Path]:
    """Unpack the regular files of a tar or zip archive, each atomically; links, devices and other members are refused.

    Args:
        endings: take only names that end so; everything if empty.
        flat: put files directly into `directory`, under their own name.

    Returns:
        The files written, in the archive's order.

    Raises:
        UserError: the archive is damaged, too large, or has a member that is a link or would land outside.
    """
    written: list[Path] = []
    total = 0
    try:
        for name, size, handle in _members(archive):
            inner = _inside(name, archive)
            if endings and not inner.name.endswith(endings):
                continue
            total += size
            if size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
                raise UserError(
                    f"'{name}' is too large ({size:,} bytes, {total:,} in all)", archive, "check the archive"
                )
            target = directory / (inner.name if flat else inner)
            if target in written:
                raise UserError(f"holds two files named '{target.name}'", archive, "check the archive")
            _copy(handle, target, size, archive)
            written.append(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"cannot be unpacked ({error})", archive, _DAMAGED) from None
    return written


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                # the upper half of the attributes is a Unix mode; 0o120000 is a link
                if (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise UserError(f"'{info.filename}' is a link", archive, "check the archive")
                if not info.is_dir():
                    with file.open(info) as handle:
                        yield info.filename, info.file_size, handle
        return
    with tarfile.open(archive) as file:
        for member in file:
            if member.isdir():
                continue
            if not member.isreg():
                raise UserError(f"'{member.name}' is a link or device, not a file", archive, "check the archive")
            yield member.name, member.size, file.extractfile(member)


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise UserError(f"'{name}' would be written outside the folder", archive, "check the archive")
    return path


def _copy(handle: IO[bytes], target: Path, size: int, archive: Path) -> None:
    with atomic_file(target) as temporary, open(temporary, "wb") as out:
        shutil.copyfileobj(handle, out, 1 << 20)
        if out.tell() != size:
            raise UserError(f"'{target.name}' is shorter than the archive says", archive, _DAMAGED)
