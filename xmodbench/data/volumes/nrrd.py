"""NRRD files (with a detached header too), after the format's definition, https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from xmodbench.data.volumes.detached import Part, joined, listed, text_numbers
from xmodbench.data.volumes.elsewhere import nrrd_names
from xmodbench.data.volumes.fields import nrrd_fields
from xmodbench.data.volumes.nrrd_axes import Axes, read_axes
from xmodbench.data.volumes.placing import Stored
from xmodbench.data.volumes.streams import FETCH_AGAIN, decompressed, exactly, read_bytes
from xmodbench.errors import UserError

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_KINDS = {name: kind for kind, names in _TYPES.items() for name in names.split(", ")}
_PACKED = {"gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = ("text", "txt", "ascii")


def read_nrrd(path: Path) -> Stored:
    """A NRRD file, with the checksums of a compressed one checked.

    Raises:
        UserError: it is damaged, holds anything but one volume of grey values, or does not say what these are.
    """
    remarks: list[str] = []
    data = read_bytes(path)
    fields, begin = nrrd_fields(data, path)
    kind = _kind(fields, path)
    axes = read_axes(fields, path, remarks)
    voxels = _voxels(fields, data, begin, kind, axes, path, remarks)
    return Stored(
        voxels.reshape(axes.size[::-1]), axes.affine, axes.spacing, axes.unstated, frame=axes.frame, remarks=remarks
    )


def _kind(fields: dict[str, str], path: Path) -> np.dtype:
    """Type of the voxels with its byte order."""
    name = " ".join(fields["type"].lower().split())
    if name not in _KINDS:
        raise UserError(f"its type is '{fields['type']}', no plain number", path, "convert it to short or float")
    low, high = fields.get("oldmin"), fields.get("oldmax")
    if low is not None or high is not None:
        problem = (
            f"its values were quantised from {low} to {high} (old min, old max) and are no grey values as they stand"
        )
        raise UserError(problem, path, "undo it with `unu unquantize`, or remove the two fields")
    kind, endian = np.dtype(_KINDS[name]), fields.get("endian", "").lower()
    if kind.itemsize > 1 and fields["encoding"].lower() not in _TEXT:
        if endian not in ("little", "big"):
            problem = f"its byte order is {f'{endian!r}' if endian else 'not stated'} (endian)"
            raise UserError(problem, path, "write `endian: little` or `endian: big` into its header")
        kind = kind.newbyteorder("<" if endian == "little" else ">")
    return kind


def _voxels(
    fields: dict[str, str], data: bytes, begin: int, kind: np.dtype, axes: Axes, path: Path, remarks: list[str]
) -> np.ndarray:
    """The voxels, flat, of the file itself or of those that it names."""
    names = nrrd_names(fields)
    parts = [Part(path, data[begin:])] if names is None else [Part(item, None) for item in listed(names, path)]
    count = prod(axes.size)
    if count % len(parts):
        raise UserError(f"its voxels cannot be shared out among {len(parts)} files", path, FETCH_AGAIN)
    each, one_slice = count // len(parts) * kind.itemsize, axes.size[0] * axes.size[1] * kind.itemsize
    encoding, lines, skip = _encoding(fields, path)
    stored = []
    for part in parts:
        content = _after_lines(part.content(), lines, part.path)
        content = _decoded(content, encoding, kind, part.path, remarks, max(0, skip) + each)
        # -1: the voxels are what comes last
        first = max(0, len(content) - each) if skip == -1 else skip
        stored.append(exactly(memoryview(content)[first:], each, one_slice, part.path, remarks))
    return joined(stored, kind)


def _encoding(fields: dict[str, str], path: Path) -> tuple[str, int, int]:
    """How voxels are encoded, the lines skipped before, and the bytes skipped after decoding."""
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "hex", *_TEXT, *_PACKED):
        raise UserError(f"its encoding is '{fields['encoding']}'", path, "convert it to gzip")
    lines, skip = (_whole(fields.get(name, "0"), name, path) for name in ("lineskip", "byteskip"))
    if skip < -1 or lines < 0 or (skip and encoding in _TEXT) or (skip == -1 and encoding != "raw"):
        raise UserError(f"its header skips {skip} bytes and {lines} lines", path, "correct `line skip` and `byte skip`")
    return encoding, lines, skip


def _decoded(content: bytes, encoding: str, kind: np.dtype, path: Path, remarks: list[str], needed: int) -> bytes:
    if encoding in _TEXT:
        return text_numbers(content, kind, path)
    if encoding in _PACKED:
        return decompressed(content, _PACKED[encoding], path, remarks, needed)
    return _unhexed(content, path) if encoding == "hex" else content


def _whole(text: str, name: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"its header has '{text}' as {name}", path, "a whole number is wanted") from None


def _after_lines(content: bytes, lines: int, path: Path) -> bytes:
    for _ in range(lines):
        _, found, content = content.partition(b"\n")
        if not found:
            raise UserError(f"truncated: it has fewer than the {lines} lines to skip", path, FETCH_AGAIN)
    return content


def _unhexed(content: bytes, path: Path) -> bytes:
    try:
        return bytes.fromhex(content.decode("ascii"))
    except ValueError:
        raise UserError("damaged: its voxels are no hexadecimal digits", path, FETCH_AGAIN) from None
