"""What NIfTI headers say, read before ITK does: it passes over damage, and over one of two contradicting positions."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from xmodbench.data.volumes.resample import affine_ras
from xmodbench.errors import UserError

FETCH_AGAIN = "fetch or convert the file again"
# positions further apart than this are a contradiction, nearer ones are rounding
APART_MM = 1.0
ROUNDING_MM = 0.01
_HEADER = 348
_CHUNK = 1 << 20
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
        return _positions(_header(handle, path))


def check_nifti(path: Path) -> Header:
    """Read a NIfTI file to its end (which also checks the CRC of a compressed one); its header.

    ITK fills the missing part of a truncated file with zeros, replaces NaN by zeros and a voxel size of zero by one,
    without a word.

    Raises:
        UserError: it is damaged, its voxel size is not above 0, or voxels are not finite.
    """
    with _readable(path), _open(path) as handle:
        header = _header(handle, path)
        _check_voxels(handle, header, path)
    return _positions(header)


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


def _header(handle: BufferedIOBase, path: Path) -> nibabel.Nifti1Header:
    """The header as nibabel reads it; nothing in it is corrected."""
    try:
        header = nibabel.Nifti1Header(handle.read(_HEADER), check=False)
    except (WrapStructError, HeaderDataError) as error:
        raise UserError(f"not a NIfTI-1 file, or truncated in its header ({error})", path, FETCH_AGAIN) from None
    if header["sizeof_hdr"] != _HEADER:
        raise UserError("not a NIfTI-1 file", path, FETCH_AGAIN)
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # as nifti1.h says of 0; nibabel refuses it
    voxel = header["pixdim"][1:4]
    if not np.isfinite(voxel).all() or voxel.min() <= 0:
        given = " x ".join(f"{value:g}" for value in voxel)
        raise UserError(f"voxel size {given} mm in the header", path, "correct pixdim[1..3]; all must be above 0")
    return header


def _positions(header: nibabel.Nifti1Header) -> Header:
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    i, j, k = (int(n) for n in header["dim"][1:4])
    return Header((i, j, k), sform, qform)


def _check_voxels(handle: BufferedIOBase, header: nibabel.Nifti1Header, path: Path) -> None:
    kind = header.get_data_dtype()
    needed = int(np.prod(header.get_data_shape(), dtype=np.int64)) * kind.itemsize
    handle.read(max(0, int(header.get_data_offset()) - _HEADER))
    size = bad = 0
    while chunk := handle.read(_CHUNK):
        size += len(chunk)
        if kind.kind == "f" and kind.itemsize <= 8:
            values = np.frombuffer(chunk[: len(chunk) // kind.itemsize * kind.itemsize], kind)
            bad += values.size - int(np.isfinite(values).sum())
    if size < needed:
        raise UserError(f"truncated: {size:,} of {needed:,} bytes of voxels are there", path, FETCH_AGAIN)
    refuse_not_finite(bad, path)


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (HeaderDataError, LookupError, ValueError, OverflowError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"its header cannot be understood ({text})", path, FETCH_AGAIN) from None
    except EOFError:
        raise UserError("truncated: the compressed data ends early", path, FETCH_AGAIN) from None
    except (OSError, zlib.error) as error:
        raise UserError(f"damaged or not compressed with gzip ({error})", path, FETCH_AGAIN) from None
