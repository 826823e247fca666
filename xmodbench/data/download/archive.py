"""Unpacking downloaded archives without trusting them."""

from __future__ import annotations

import hashlib
import lzma
import os
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from xmodbench.data.download.disk import check_space, disk_errors
from xmodbench.data.download.errors import Damaged
from xmodbench.data.download.tar_headers import TarMember
from xmodbench.files import finished_name, temporary_of
from xmodbench.progress import Progress

MAX_FILE_BYTES = 2 << 30
MAX_TOTAL_BYTES = 60 << 30
MAX_MEMBERS = 200_000
# volumes with much air shrink to a fiftieth; small archives may shrink more
MAX_RATIO, RATIO_FREE_BYTES = 200, 100 << 20
_CHUNK = 1 << 20
_DAMAGED = "delete it and fetch it again"
_CHECK = "check where the archive comes from"
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
_Mode = Literal["r:", "r:gz", "r:bz2", "r:xz"]
_PACKED: dict[bytes, _Mode] = {b"\x1f\x8b": "r:gz", b"BZh": "r:bz2", b"\xfd7zXZ\0": "r:xz"}
# what Macs leave behind in archives
_LEFTOVERS = ("__MACOSX", ".DS_Store")


def check_file(path: Path, *, size: int | None = None, md5: str | None = None, sha256: str | None = None) -> None:
    """Compare a file with its published size and digest.

    Raises:
        Damaged: it differs.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise Damaged(f"has {found:,} bytes, {size:,} were published", path, _DAMAGED)
    for name, expected in (("md5", md5), ("sha256", sha256)):
        if expected is None:
            continue
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, name).hexdigest()
        if digest != expected:
            raise Damaged(f"{name} is {digest}, {expected} was expected", path, _DAMAGED)


def extract(
    archive: Path,
    directory: Path,
    *,
    endings: tuple[str, ...] = (),
    flat: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Unpack the regular files of a tar or zip archive, each atomically; links, devices and other members are refused.

    Args:
        endings: take only names that end so; everything if empty.
        flat: put files directly into `directory`, under their own name.

    Returns:
        The files written, in the archive's order.

    Raises:
        Damaged: the archive is damaged, encrypted, too large, or has a member that is a link, would land outside or
            in the place of another.
        UserError: the disk is full or may not be written.
    """
    archive, directory = Path(archive), Path(directory)
    guard, written = _Guard(archive, directory), []
    try:
        with disk_errors(directory), (progress or Progress(quiet=True)).meter(archive.name, _total(archive)) as came:
            for name, size, handle in _members(archive):
                guard.count()
                if handle is None:
                    continue
                inner = guard.inner(name)
                if inner is None or (endings and not inner.name.endswith(endings)):
                    came(size)
                    continue
                target = guard.target(PurePosixPath(inner.name) if flat else inner, size)
                _copy(handle, target, size, archive, came)
                written.append(target)
    except (*_BROKEN, EOFError, OSError, NotImplementedError) as error:
        raise Damaged(f"cannot be unpacked ({error})", archive, _DAMAGED) from None
    _tidy(set(written))
    return written


def _tidy(written: set[Path]) -> None:
    """Remove what a process that was killed left half-written beside these files: one at a time unpacks an archive."""
    for folder in {path.parent for path in written}:
        for other in folder.iterdir():
            if (name := finished_name(other)) and folder / name in written:
                other.unlink(missing_ok=True)


@dataclass
class _Guard:
    """What an archive may not do."""

    archive: Path
    directory: Path
    members: int = 0
    total: int = 0
    taken: set[str] = field(default_factory=set)

    def count(self) -> None:
        """Count a member, be it a file or a folder."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise Damaged(f"holds more than {MAX_MEMBERS:,} files and folders", self.archive, _CHECK)

    def inner(self, name: str) -> PurePosixPath | None:
        """A member's path below the folder; None for leftovers of a Mac."""
        path = PurePosixPath(name.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise Damaged(f"'{name}' would be written outside the folder", self.archive, _CHECK)
        if not name.isprintable():
            raise Damaged(f"{name!r} has control characters in its name", self.archive, _CHECK)
        return None if path.parts[0] in _LEFTOVERS or path.name in _LEFTOVERS else path

    def target(self, inner: PurePosixPath, size: int) -> Path:
        """Where a file goes, once its name and size have been found harmless."""
        self.total += size
        allowed = max(RATIO_FREE_BYTES, MAX_RATIO * self.archive.stat().st_size)
        if size > MAX_FILE_BYTES or self.total > min(MAX_TOTAL_BYTES, allowed):
            sizes = f"{size:,} bytes, {self.total:,} in all, from {self.archive.stat().st_size:,}"
            raise Damaged(f"'{inner}' is too large ({sizes})", self.archive, _CHECK)
        # Macs and Windows take names that differ in case or in the way of writing accents for one
        key = unicodedata.normalize("NFC", inner.as_posix()).casefold()
        if key in self.taken:
            raise Damaged(f"holds two files named '{inner}' (case counts for nothing)", self.archive, _CHECK)
        self.taken.add(key)
        if size > 64 * _CHUNK:
            self.directory.mkdir(parents=True, exist_ok=True)
            check_space(self.directory, size)
        return self.directory / inner


def _total(archive: Path) -> int | None:
    """About how many bytes will come out; None for a compressed tar, which only tells at its end."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            return sum(info.file_size for info in file.infolist())
    try:
        tarfile.open(archive, "r:", tarinfo=TarMember).close()
    except tarfile.TarError:
        return None
    return archive.stat().st_size


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Name, size and contents of each member; no contents for a folder."""
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
        return
    with tarfile.open(archive, _tar_mode(archive), tarinfo=TarMember) as file:
        for member in file:
            if member.isdir():
                yield member.name, 0, None
                continue
            # a sparse file is a few bytes here and any number on the disk
            if not member.isreg() or member.issparse():
                raise Damaged(f"'{member.name}' is a link or device, not a file", archive, _CHECK)
            yield member.name, member.size, file.extractfile(member)


def _tar_mode(archive: Path) -> _Mode:
    """How a tar is compressed, by its first bytes: the library, left to guess, can take packed bytes for a header."""
    with open(archive, "rb") as handle:
        first = handle.read(6)
    return next((mode for magic, mode in _PACKED.items() if first.startswith(magic)), "r:")


def _zip_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            # the upper half of the attributes is a Unix mode; 0 where the archive comes from another system
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise Damaged(f"'{info.filename}' is a link or device, not a file", archive, _CHECK)
            if info.flag_bits & 1:
                raise Damaged("is encrypted", archive, "unpack it by hand, beside it")
            if not info.filename:
                raise Damaged(f"has a member without a name ('{info.orig_filename}')", archive, _CHECK)
            if info.is_dir():
                yield info.orig_filename, 0, None
                continue
            with file.open(info) as handle:
                # not info.filename: zipfile has cut that at a NUL
                yield info.orig_filename, info.file_size, handle


def _copy(handle: IO[bytes], target: Path, size: int, archive: Path, came) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # not files.atomic_file: thousands of files would each wait for the disk; the lock file's sizes tell what got lost
    temporary = temporary_of(target)
    try:
        with open(temporary, "wb") as out:
            while chunk := handle.read(_CHUNK):
                out.write(chunk)
                came(len(chunk))
            if out.tell() != size:
                raise Damaged(f"'{target.name}' is shorter than the archive says", archive, _DAMAGED)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
