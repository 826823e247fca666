"""Reading and writing volumes with SimpleITK; every way a file can be wrong gets one clear line."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk

from xmodbench.errors import UserError
from xmodbench.files import atomic_file

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_NIFTI_HEADER = 348
_CHUNK = 1 << 20
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI's codes
_FETCH_AGAIN = "fetch or convert the file again"


def suffix(path: Path) -> str | None:
    """The volume suffix of a file name (``.nii.gz`` is one suffix), or None."""
    return next((ending for ending in SUFFIXES if path.name.lower().endswith(ending)), None)


def read_volume(path: str | Path) -> sitk.Image:
    """Read a three-dimensional scalar volume as float32.

    Raises:
        UserError: the file is missing, damaged, no image, not three-dimensional, has no usable geometry, or holds
            voxels that are not finite or all the same.
    """
    path = Path(path)
    _check_file(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UserError(f"cannot be read as an image ({_itk_reason(error)})", path, _FETCH_AGAIN) from None
    return _checked(_three_dimensional(image, path), path)


def write_volume(image: sitk.Image, path: str | Path) -> None:
    """Write a volume atomically; the suffix chooses the format."""
    path = Path(path)
    with atomic_file(path) as temporary:
        # ITK chooses the format by the name's end, which the temporary lacks
        named = temporary.with_name(temporary.name + suffix(path))
        try:
            sitk.WriteImage(image, str(named), useCompression=True)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError("no such file", path)
    if suffix(path) is None:
        raise UserError(f"not a volume file (known: {', '.join(SUFFIXES)})", path, "convert it, to NIfTI for example")
    if path.stat().st_size == 0:
        raise UserError("the file is empty", path, _FETCH_AGAIN)
    if suffix(path).startswith(".nii"):
        _check_nifti(path)


def _check_nifti(path: Path) -> None:
    # ITK fills the missing part of a truncated NIfTI file with zeros, replaces NaN by zeros and a voxel size of zero by
    # one, without a word
    with _readable(path), _open(path) as handle:
        header = handle.read(_NIFTI_HEADER)
        if len(header) < _NIFTI_HEADER:
            raise UserError("truncated: shorter than a NIfTI header", path, _FETCH_AGAIN)
        order = next((o for o in "<>" if struct.unpack_from(o + "i", header)[0] == _NIFTI_HEADER), None)
        if order is None:
            raise UserError("not a NIfTI-1 file", path, _FETCH_AGAIN)
        voxel = struct.unpack_from(order + "3f", header, 80)
        if not all(np.isfinite(voxel)) or min(voxel) <= 0:
            given = " x ".join(f"{value:g}" for value in voxel)
            raise UserError(f"voxel size {given} mm in the header", path, "correct pixdim[1..3]; all must be above 0")
        _check_voxels(handle, header, order, path)


def _check_voxels(handle: IO[bytes], header: bytes, order: str, path: Path) -> None:
    """Read to the end (which also checks the CRC of a compressed file): enough bytes, and finite ones."""
    dimensions = struct.unpack_from(order + "8h", header, 40)
    kind, bits = struct.unpack_from(order + "2h", header, 70)
    offset = max(_NIFTI_HEADER, int(struct.unpack_from(order + "f", header, 108)[0]))
    needed = int(np.prod([max(1, n) for n in dimensions[1 : 1 + dimensions[0]]], dtype=np.int64)) * bits // 8
    handle.read(offset - _NIFTI_HEADER)
    size = bad = 0
    while chunk := handle.read(_CHUNK):
        size += len(chunk)
        if kind in _FLOATS:
            values = np.frombuffer(chunk[: len(chunk) // 8 * 8], order + _FLOATS[kind])
            bad += values.size - int(np.isfinite(values).sum())
    if size < needed:
        raise UserError(f"truncated: {size:,} of {needed:,} bytes of voxels are there", path, _FETCH_AGAIN)
    _refuse_not_finite(bad, path)


def _refuse_not_finite(count: int, path: Path) -> None:
    if count:
        raise UserError(f"{count:,} voxels are NaN or infinite", path, "replace them, by 0 for example")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise UserError("truncated: the compressed data ends early", path, _FETCH_AGAIN) from None
    except (OSError, zlib.error) as error:
        raise UserError(f"damaged or not compressed with gzip ({error})", path, _FETCH_AGAIN) from None


def _three_dimensional(image: sitk.Image, path: Path) -> sitk.Image:
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UserError(
            f"{image.GetNumberOfComponentsPerPixel()} values per voxel (colour or vectors)", path, "give a gray volume"
        )
    size = image.GetSize()
    if len(size) == 4 and size[3] == 1:
        image = image[..., 0]
    elif len(size) != 3:
        shape = "x".join(map(str, size))
        raise UserError(f"a {len(size)}-D image ({shape})", path, "split it and give one 3-D volume per modality")
    return image


def _checked(image: sitk.Image, path: Path) -> sitk.Image:
    size, spacing = image.GetSize(), image.GetSpacing()
    if min(size) < 2:
        raise UserError(
            f"a single slice ({'x'.join(map(str, size))})", path, "give the whole volume; slices are cut from it"
        )
    if not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise UserError(f"voxel size {spacing} mm", path, "correct the header; all must be above 0")
    image = sitk.Cast(image, sitk.sitkFloat32)
    voxels = sitk.GetArrayViewFromImage(image)
    _refuse_not_finite(voxels.size - int(np.isfinite(voxels).sum()), path)
    if voxels.min() == voxels.max():
        raise UserError(f"every voxel is {voxels.min():g}", path, "give a volume with an image in it")
    return image


def _itk_reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text.split("ERROR:")[-1].strip()[:160]
