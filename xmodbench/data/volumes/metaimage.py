"""MetaImage files (MHA, and MHD with its voxels elsewhere), after https://itk.org/Wiki/MetaIO/Documentation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from xmodbench.data.volumes.detached import Part, joined, listed, text_numbers
from xmodbench.data.volumes.elsewhere import metaimage_names
from xmodbench.data.volumes.fields import metaimage_fields
from xmodbench.data.volumes.placing import Frame, Stored, axes_along
from xmodbench.data.volumes.streams import FETCH_AGAIN, decompressed, exactly, read_bytes
from xmodbench.errors import UserError

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_MM = {"mm": 1.0, "cm": 10.0, "um": 0.001, "m": 1000.0, "?": 1.0}
_LPS = np.diag([-1.0, -1.0, 1.0])
# it says where an axis comes from, this package where it runs to
_TOWARDS = dict(zip("RLAPSI", "LRPAIS", strict=True))


class _Fields:
    """The lines of a header by their keys."""

    def __init__(self, values: dict[str, str], path: Path):
        self.values, self.path = values, path

    def first(self, *names: str) -> str | None:
        """The value of the first of several names that is there."""
        return next((self.values[name] for name in names if name in self.values), None)

    def numbers(self, *names: str) -> list[float] | None:
        """It as numbers; a UserError names the file where it is none."""
        text = self.first(*names)
        if text is None:
            return None
        try:
            values = [float(word) for word in text.split()]
        except ValueError:
            values = []
        if not values or not np.isfinite(values).all():
            raise UserError(f"its {names[0]} is '{text}', no numbers", self.path, "correct its header")
        return values

    def yes(self, *names: str, otherwise: bool) -> bool:
        """It as True or False, which a letter or digit is enough for."""
        text = self.first(*names)
        return otherwise if not text else text[0] in "TtYy1"


def read_metaimage(path: Path) -> Stored:
    """A MetaImage file, with the checksum of a compressed one checked.

    Raises:
        UserError: it is damaged, holds anything but one volume of grey values, or does not say what these are.
    """
    remarks: list[str] = []
    data = read_bytes(path)
    values, begin = metaimage_fields(data, path)
    fields = _Fields(values, path)
    size, kind = _size(fields, path), _kind(fields, path, remarks)
    spacing, affine, frame = _position(fields, size, path, remarks)
    slope, intercept = _scaling(fields, path, remarks)
    voxels = _voxels(fields, data, begin, kind, size, remarks)
    unstated = "its header has no TransformMatrix"
    return Stored(voxels.reshape(size[::-1]), affine, spacing, unstated, slope, intercept, frame, remarks)


def _size(fields: _Fields, path: Path) -> tuple[int, ...]:
    sizes = [int(n) if n.is_integer() else 0 for n in fields.numbers("DimSize") or []]
    if fields.values["NDims"] != str(len(sizes)) or min(sizes, default=0) < 1:
        problem = f"its header gives the sizes '{fields.values['DimSize']}' for {fields.values['NDims']} axes"
        raise UserError(problem, path, FETCH_AGAIN)
    channels = fields.numbers("ElementNumberOfChannels") or [1.0]
    if channels != [1.0]:
        raise UserError(f"{channels[0]:g} values per voxel (colour or vectors)", path, "give a gray volume")
    if len(sizes) < 3 or max(sizes[3:], default=1) > 1:
        shape = "x".join(map(str, sizes))
        raise UserError(f"a {len(sizes)}-D image ({shape})", path, "split it and give one 3-D volume per modality")
    return tuple(sizes[:3])


def _kind(fields: _Fields, path: Path, remarks: list[str]) -> np.dtype:
    name = fields.values["ElementType"]
    if name not in _TYPES:
        raise UserError(f"its ElementType is {name}, no plain number", path, "convert it to MET_SHORT or MET_FLOAT")
    kind = np.dtype(_TYPES[name])
    order = fields.first("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    if order is None and kind.itemsize > 1 and fields.yes("BinaryData", otherwise=True):
        remarks.append("its byte order is not stated (BinaryDataByteOrderMSB) and taken as that of PCs")
    return kind.newbyteorder(">" if order and order[0] in "TtYy1" else "<")


def _position(
    fields: _Fields, size: tuple[int, ...], path: Path, remarks: list[str]
) -> tuple[Sequence[float], np.ndarray | None, Frame | None]:
    """Voxel size in mm; where the header says how the axes run, the matrix to RAS mm, and the same as it is spelled."""
    axes = int(fields.values["NDims"])
    unit = (fields.first("DistanceUnits") or "mm").lower()
    if unit not in _MM:
        raise UserError(f"its DistanceUnits is '{unit}'", path, "mm is wanted")
    given = fields.numbers("ElementSpacing", "ElementSize")
    if given is None:
        raise UserError("it does not say how large its voxels are (ElementSpacing)", path, "correct its header")
    if len(given) != axes or min(given[:3]) <= 0:
        raise UserError(
            f"voxel size {' x '.join(f'{v:g}' for v in given)}", path, "correct ElementSpacing; all above 0"
        )
    spacing = tuple(value * _MM[unit] for value in given[:3])
    directions, code = _directions(fields, axes, path), _code(fields)
    if directions is None and code is not None:
        directions = _LPS @ axes_along(code, (1, 1, 1), size)[:3, :3]
    if directions is None:
        return spacing, None, None
    offset = fields.numbers("Offset", "Position", "Origin")
    if offset is None:
        remarks.append("its place in the world is not stated (Offset): its first voxel is taken to lie at the origin")
        offset = [0.0] * axes
    if len(offset) != axes:
        raise UserError(f"its Offset has {len(offset)} numbers for {axes} axes", path, "correct its header")
    _compare(directions, code, remarks)
    origin = np.multiply(offset[:3], _MM[unit])
    exact = directions / np.linalg.norm(directions, axis=0)
    return spacing, Frame(np.array(spacing), origin, exact).affine(), Frame(np.array(spacing), origin, directions)


def _directions(fields: _Fields, axes: int, path: Path) -> np.ndarray | None:
    """The directions of the axes in LPS [3, 3], as columns; a row of TransformMatrix is one of them."""
    matrix = fields.numbers("TransformMatrix", "Rotation", "Orientation")
    if matrix is None:
        return None
    if len(matrix) != axes**2:
        raise UserError(f"its TransformMatrix has {len(matrix)} numbers for {axes} axes", path, "correct its header")
    columns = np.reshape(matrix, (axes, axes))[:3, :3].T
    if np.abs(np.linalg.norm(columns, axis=0) - 1).max() > 1e-2:
        problem = "the rows of its TransformMatrix are not of length 1, which leaves its voxel size open"
        raise UserError(problem, path, "correct TransformMatrix and ElementSpacing")
    return columns


def _code(fields: _Fields) -> str | None:
    """AnatomicalOrientation as the directions to which the axes run; None where it is no orientation."""
    letters = (fields.first("AnatomicalOrientation") or "").upper()
    code = "".join(_TOWARDS.get(letter, "?") for letter in letters)
    return code if sorted(min(letter, _TOWARDS.get(letter, "")) for letter in code) == ["A", "I", "L"] else None


def _compare(directions: np.ndarray, code: str | None, remarks: list[str]) -> None:
    # the axis of the world that each of the file's runs along most
    nearest = np.abs(directions).argmax(axis=0)
    ours = "".join("LPS"[axis] if directions[axis, i] > 0 else "RAI"[axis] for i, axis in enumerate(nearest))
    if code not in (None, ours):
        remarks.append(
            f"TransformMatrix says that its axes run to {ours}, AnatomicalOrientation {code}; the matrix is used"
        )


def _scaling(fields: _Fields, path: Path, remarks: list[str]) -> tuple[float | None, float]:
    slope = (fields.numbers("ElementToIntensityFunctionSlope") or [1.0])[0]
    intercept = (fields.numbers("ElementToIntensityFunctionOffset") or [0.0])[0]
    if slope == 0:
        raise UserError("its ElementToIntensityFunctionSlope is 0", path, "correct it; 1 changes nothing")
    if (slope, intercept) == (1, 0):
        return None, 0.0
    remarks.append(f"its values are scaled by {slope:g} and {intercept:+g}, as its ElementToIntensityFunction says")
    return slope, intercept


def _voxels(fields: _Fields, data: bytes, begin: int, kind: np.dtype, size, remarks: list[str]) -> np.ndarray:
    """The voxels, flat, of the file itself or of those that it names."""
    path, names = fields.path, metaimage_names(fields.values, data[begin:])
    parts = [Part(path, data[begin:])] if names is None else [Part(item, None) for item in listed(names, path)]
    count = prod(size)
    if count % len(parts):
        raise UserError(f"its voxels cannot be shared out among {len(parts)} files", path, FETCH_AGAIN)
    each, one_slice = count // len(parts) * kind.itemsize, size[0] * size[1] * kind.itemsize
    stored = []
    for part in parts:
        content = _decoded(fields, part, each, begin if part.inside is not None else 0, kind, remarks)
        stored.append(exactly(content, each, one_slice, part.path, remarks))
    return joined(stored, kind)


def _decoded(fields: _Fields, part: Part, each: int, begin: int, kind: np.dtype, remarks: list[str]) -> bytes:
    """A part's voxels, which begin after HeaderSize bytes of its file, or (-1) are its last; `begin` are read already."""
    given, packed = (fields.numbers("HeaderSize") or [0.0])[0], fields.yes("CompressedData", otherwise=False)
    skip = int(given)
    if skip != given or skip < -1 or (packed and skip) or 0 < skip < begin:
        raise UserError(
            f"its HeaderSize is {given:g}", fields.path, "correct it; 0 where nothing stands before the voxels"
        )
    content = part.content()
    if not fields.yes("BinaryData", otherwise=True):
        return text_numbers(content, kind, part.path)
    if packed:
        return decompressed(content, "zlib", part.path, remarks, each)
    if skip == -1:
        return content[max(0, len(content) - each) :]
    return content[skip - begin :] if skip else content
