"""What NIfTI headers say, read before ITK does: it passes over damage, and over one of two contradicting positions."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk

from xmodbench.errors import UserError
from xmodbench.volumes.resample import affine_ras

FETCH_AGAIN = "fetch or convert the file again"
# positions further apart than this are a contradiction, nearer ones are rounding
APART_MM = 1.0
ROUNDING_MM = 0.01
_HEADER = 348
_CHUNK = 1 << 20
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI's codes
_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Header:
    """Size of the grid (x, y, z) and its two 4x4 matrices from voxel index to RAS mm; None where the code is 0."""

    size: tuple[int, int, int]
    sform: np.ndarray | None
    qform: np.ndarray | None

    def contradiction(self) -> str | None:
        """One clause where the two matrices move a corner of the grid by more than a millimetre, else None."""
        if self.sform is None or self.qform is None:
            return None
        apart = farthest(self.sform, self.qform, self.size)
        if apart <= APART_MM:
            return None
        return f"sform and qform place the volume's corners up to {apart:.1f} mm apart; the sform is used"


def farthest(a: np.ndarray, b: np.ndarray, size: tuple[int, int, int]) -> float:
    """Largest distance between where two 4x4 matrices put a corner of a grid, mm."""
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in size))])
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())


def read_header(path: Path) -> Header:
    """The positions that a NIfTI file gives.

    Raises:
        UserError: it is damaged, or its voxel size is not above 0.
    """
    with _readable(path), _open(path) as handle:
        return _header(*_raw_header(handle, path))


def check_nifti(path: Path) -> Header:
    """Read a NIfTI file to its end (which also checks the CRC of a compressed one); its header.

    ITK fills the missing part of a truncated file with zeros, replaces NaN by zeros and a voxel size of zero by one,
    without a word.

    Raises:
        UserError: it is damaged, its voxel size is not above 0, or voxels are not finite.
    """
    with _readable(path), _open(path) as handle:
        header, order = _raw_header(handle, path)
        _check_voxels(handle, header, order, path)
    return _header(header, order)


def rectangular(header: Header, path: Path) -> np.ndarray | None:
    """The 4x4 matrix of the sform, its axes made exactly perpendicular; None where the file has no sform.

    Raises:
        UserError: the sform shears the grid, which only a resampling could mend.
    """
    if header.sform is None:
        return None
    columns = header.sform[:3, :3]
    # float32 has seven digits
    spacing = np.round(np.linalg.norm(columns, axis=0), 6)
    if not np.isfinite(header.sform).all() or spacing.min() <= 0:
        raise UserError("its sform is no position in space", path, "correct srow_x, srow_y and srow_z")
    # polar decomposition: the nearest rotation, so that only rounding is taken away
    left, _, right = np.linalg.svd(columns / spacing)
    straight = header.sform.copy()
    straight[:3, :3] = left @ right * spacing
    if farthest(straight, header.sform, header.size) > APART_MM:
        raise UserError("its sform shears the voxels", path, "resample it to a rectangular grid, or remove the sform")
    return straight


def placed(image: sitk.Image, affine: np.ndarray | None) -> sitk.Image:
    """The image where `affine` (see `rectangular`) puts it, as nibabel does; ITK reads its own choice of the two.

    ITK 5.4 takes the qform wherever sform_code is not 1, and pixdim's voxel size instead of the sform's.
    """
    if affine is None or farthest(affine, affine_ras(image), image.GetSize()) < ROUNDING_MM:
        return image
    spacing = np.round(np.linalg.norm(affine[:3, :3], axis=0), 6)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((_LPS @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((_LPS @ affine[:3, 3]).tolist())
    return image


def refuse_not_finite(count: int, path: Path) -> None:
    """Raise UserError for `count` voxels that are not finite."""
    if count:
        raise UserError(f"{count:,} voxels are NaN or infinite", path, "replace them, by 0 for example")


def _raw_header(handle: IO[bytes], path: Path) -> tuple[bytes, str]:
    """The header's bytes and their order, for `struct`."""
    header = handle.read(_HEADER)
    if len(header) < _HEADER:
        raise UserError("truncated: shorter than a NIfTI header", path, FETCH_AGAIN)
    order = next((o for o in "<>" if struct.unpack_from(o + "i", header)[0] == _HEADER), None)
    if order is None:
        raise UserError("not a NIfTI-1 file", path, FETCH_AGAIN)
    voxel = struct.unpack_from(order + "3f", header, 80)
    if not all(np.isfinite(voxel)) or min(voxel) <= 0:
        given = " x ".join(f"{value:g}" for value in voxel)
        raise UserError(f"voxel size {given} mm in the header", path, "correct pixdim[1..3]; all must be above 0")
    return header, order


def _header(header: bytes, order: str) -> Header:
    size = struct.unpack_from(order + "3h", header, 42)
    qform_code, sform_code = struct.unpack_from(order + "2h", header, 252)
    rows = np.array(struct.unpack_from(order + "12f", header, 280)).reshape(3, 4)
    sform = np.vstack([rows, [0, 0, 0, 1]]) if sform_code > 0 else None
    return Header(size, sform, _qform(header, order) if qform_code > 0 else None)


def _qform(header: bytes, order: str) -> np.ndarray:
    """Method 2 of nifti1.h: a unit quaternion (a, b, c, d), the voxel size and the sign of the third axis."""
    sign, *voxel = struct.unpack_from(order + "4f", header, 76)
    b, c, d, *offset = struct.unpack_from(order + "6f", header, 256)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * voxel * [1, 1, -1 if sign < 0 else 1]
    affine[:3, 3] = offset
    return affine


def _check_voxels(handle: IO[bytes], header: bytes, order: str, path: Path) -> None:
    dimensions = struct.unpack_from(order + "8h", header, 40)
    kind, bits = struct.unpack_from(order + "2h", header, 70)
    offset = max(_HEADER, int(struct.unpack_from(order + "f", header, 108)[0]))
    needed = int(np.prod([max(1, n) for n in dimensions[1 : 1 + dimensions[0]]], dtype=np.int64)) * bits // 8
    handle.read(offset - _HEADER)
    size = bad = 0
    while chunk := handle.read(_CHUNK):
        size += len(chunk)
        if kind in _FLOATS:
            values = np.frombuffer(chunk[: len(chunk) // 8 * 8], order + _FLOATS[kind])
            bad += values.size - int(np.isfinite(values).sum())
    if size < needed:
        raise UserError(f"truncated: {size:,} of {needed:,} bytes of voxels are there", path, FETCH_AGAIN)
    refuse_not_finite(bad, path)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise UserError("truncated: the compressed data ends early", path, FETCH_AGAIN) from None
    except (OSError, zlib.error) as error:
        raise UserError(f"damaged or not compressed with gzip ({error})", path, FETCH_AGAIN) from None
