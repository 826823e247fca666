"""Reading and writing volumes with SimpleITK; every way a file can be wrong gets one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.nifti import (
    FETCH_AGAIN,
    Header,
    check_nifti,
    placed,
    read_header,
    rectangular,
    refuse_not_finite,
)
from xmodbench.errors import UserError
from xmodbench.files import atomic_file

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def suffix(path: Path) -> str | None:
    """The volume suffix of a file name (``.nii.gz`` is one suffix), or None."""
    return next((ending for ending in SUFFIXES if path.name.lower().endswith(ending)), None)


def read_volume(path: str | Path) -> sitk.Image:
    """Read a three-dimensional scalar volume as float32; of a NIfTI file's two positions the sform counts.

    Raises:
        UserError: the file is missing, damaged, no image, not three-dimensional, has no usable geometry, or holds
            voxels that are not finite or all the same.
    """
    path = Path(path)
    header = _check_file(path)
    position = rectangular(header, path) if header else None
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UserError(f"cannot be read as an image ({_itk_reason(error)})", path, FETCH_AGAIN) from None
    return _checked(placed(_three_dimensional(image, path), position), path)


def contradiction(path: str | Path) -> str | None:
    """One clause where a NIfTI file gives two positions that differ, else None (see `nifti.Header`)."""
    path = Path(path)
    return read_header(path).contradiction() if _is_nifti(path) else None


def write_volume(image: sitk.Image, path: str | Path) -> None:
    """Write a volume atomically; the suffix chooses the format."""
    path = Path(path)
    with atomic_file(path) as temporary:
        # ITK chooses the format by the name's end, which the temporary lacks
        named = temporary.with_name(temporary.name + (suffix(path) or ""))
        try:
            sitk.WriteImage(image, str(named), useCompression=True)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _is_nifti(path: Path) -> bool:
    return (suffix(path) or "").startswith(".nii")


def _check_file(path: Path) -> Header | None:
    if not path.is_file():
        raise UserError("no such file", path)
    if suffix(path) is None:
        raise UserError(f"not a volume file (known: {', '.join(SUFFIXES)})", path, "convert it, to NIfTI for example")
    if path.stat().st_size == 0:
        raise UserError("the file is empty", path, FETCH_AGAIN)
    return check_nifti(path) if _is_nifti(path) else None


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
    refuse_not_finite(voxels.size - int(np.isfinite(voxels).sum()), path)
    if voxels.min() == voxels.max():
        raise UserError(f"every voxel is {voxels.min():g}", path, "give a volume with an image in it")
    return image


def _itk_reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text.split("ERROR:")[-1].strip()[:160]
