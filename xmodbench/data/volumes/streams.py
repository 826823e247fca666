"""The bytes of voxels, held against what the header says and against the checksums of their compression.

Libraries fill what is missing by zeros, or stop at the damage, without a word.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError

FETCH_AGAIN = "fetch or convert the file again"
_CHUNK = 1 << 20
# what a stream may hold beyond what is needed; a thousandth of that would make it
_SPARE = 64 << 20
_GZIP = b"\x1f\x8b"


class Swollen(UserError):
    """A stream holds far more than the header says."""


@dataclass(frozen=True)
class Compression:
    """A compression: how a decompressor is made, and what a further member begins with (None: there is only one)."""

    name: str
    start: Callable[[], Any]
    magic: bytes | None


COMPRESSIONS = {
    "gzip": Compression("gzip", lambda: zlib.decompressobj(31), _GZIP),
    "zlib": Compression("zlib", zlib.decompressobj, None),
    "bzip2": Compression("bzip2", bz2.BZ2Decompressor, b"BZh"),
}


def decompressed(data: memoryview | bytes, how: str, path: Path, remarks: list[str], needed: int) -> bytes:
    """All members of a compressed stream, each checked by its checksum and length.

    Bytes after the last member are no part of it: other than zeros, they are remarked upon.

    Args:
        data: the stream from its first byte on.
        how: one of `COMPRESSIONS`.
        remarks: a clause is added where bytes follow.
        needed: bytes that are wanted of it, and what may be passed over before them.

    Raises:
        UserError: it is no such stream, damaged, ends early, or swells far beyond what is needed.
    """
    kind, rest, parts, most = COMPRESSIONS[how], memoryview(data), [], needed + _SPARE
    if kind.magic and bytes(rest[: len(kind.magic)]) != kind.magic:
        raise UserError(f"damaged, or not compressed with {kind.name}", path, FETCH_AGAIN)
    member, rest = _member(rest, kind, path, most)
    parts.append(member)
    while kind.magic and bytes((further := rest[_leading_zeros(rest) :])[: len(kind.magic)]) == kind.magic:
        try:
            member, rest = _member(further, kind, path, most - sum(map(len, parts)))
        except Swollen:
            raise
        except UserError:
            break  # if voxels are missing without it, their count tells
        parts.append(member)
    if _leading_zeros(rest) < len(rest):
        remarks.append(f"{len(rest):,} bytes after the end of the compressed data are passed over")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def exactly(data: bytes | memoryview, needed: int, slice_bytes: int, path: Path, remarks: list[str]) -> memoryview:
    """The first `needed` bytes of voxels; less, or a slice's worth more, is not what the header describes.

    Raises:
        UserError: see above.
    """
    view = memoryview(data)
    if len(view) < needed:
        raise UserError(f"truncated: {len(view):,} of {needed:,} bytes of voxels are there", path, FETCH_AGAIN)
    more = view[needed:]
    if len(more) >= max(1, slice_bytes) and _leading_zeros(more) < len(more):
        problem = f"holds more voxels than its header says ({len(view):,} bytes instead of {needed:,})"
        raise UserError(problem, path, "correct the size in its header, or convert the file again")
    if _leading_zeros(more) < len(more):
        remarks.append(f"{len(more):,} bytes after the last voxel are passed over")
    return view[:needed]


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        UserError: it is not there, empty, or cannot be read.
    """
    if not path.is_file():
        raise UserError("no such file", path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot be read ({error.strerror or error})", path, "check the disk and the permissions"
        ) from None
    if not data:
        raise UserError("the file is empty", path, FETCH_AGAIN)
    return data


def _member(data: memoryview, kind: Compression, path: Path, most: int) -> tuple[bytes, memoryview]:
    """One member, of at most so many bytes, and what comes after it."""
    machine, parts = kind.start(), []
    for begin in range(0, len(data), _CHUNK):
        try:
            for piece in _pieces(machine, data[begin : begin + _CHUNK]):
                parts.append(piece)
                most -= len(piece)
                if most < 0:
                    problem = "holds far more data than its header says"
                    raise Swollen(problem, path, "correct the size in its header, or convert the file again")
        except (OSError, EOFError, ValueError, zlib.error) as error:
            text = " ".join(str(error).split()).rpartition(": ")[2]
            raise UserError(f"damaged: its {kind.name} data are not sound ({text})", path, FETCH_AGAIN) from None
        if machine.eof:
            return b"".join(parts), data[min(begin + _CHUNK, len(data)) - len(machine.unused_data) :]
    raise UserError(f"truncated: its {kind.name} data end early", path, FETCH_AGAIN)


def _pieces(machine: Any, chunk: bytes | memoryview) -> Iterator[bytes]:
    """What a chunk becomes, a bounded piece at a time: a few bytes may stand for any number."""
    while True:
        piece = machine.decompress(chunk, _CHUNK)
        yield piece
        # zlib hands back what it has not taken, bzip2 keeps it
        chunk = getattr(machine, "unconsumed_tail", b"")
        if machine.eof or (not chunk and len(piece) < _CHUNK and getattr(machine, "needs_input", True)):
            return


def _leading_zeros(data: memoryview) -> int:
    """How many zero bytes come first."""
    for begin in range(0, len(data), _CHUNK):
        chunk = bytes(data[begin : begin + _CHUNK])
        kept = chunk.lstrip(b"\0")
        if kept:
            return begin + len(chunk) - len(kept)
    return len(data)
