"""Reading and writing volumes; every way a file can be wrong gets one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.found import SUFFIXES
from xmodbench.data.volumes.metaimage import read_metaimage
from xmodbench.data.volumes.nifti import read_nifti
from xmodbench.data.volumes.nrrd import read_nrrd
from xmodbench.data.volumes.placing import Stored, located, placed
from xmodbench.errors import UserError
from xmodbench.files import atomic_file

_READERS: dict[str, Callable[[Path], Stored]] = {
    ".nii.gz": read_nifti, ".nii": read_nifti, ".hdr.gz": read_nifti, ".hdr": read_nifti, ".nrrd": read_nrrd,
    ".nhdr": read_nrrd, ".mha": read_metaimage, ".mhd": read_metaimage,
}  # fmt: skip


def suffix(path: Path) -> str | None:
    """The volume suffix of a file name (``.nii.gz`` is one suffix), or None."""
    return next((ending for ending in SUFFIXES if path.name.lower().endswith(ending)), None)


def read_volume(
    path: str | Path, *, orientation: str | None = None, remark: Callable[[str], None] | None = None
) -> sitk.Image:
    """Read a three-dimensional scalar volume as float32; of a NIfTI file's two positions the sform counts.

    Args:
        orientation: directions to which the axes run where the file does not say so (`Preparation.assume_orientation`).
        remark: told, in a clause each, what was assumed or put right.

    Raises:
        UserError: the file is missing, damaged, no image, not three-dimensional, has no usable geometry or one that it
            does not state, or holds voxels that are not finite or all the same.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such file", path)
    ending = suffix(path)
    if ending is None:
        raise UserError(f"not a volume file (known: {', '.join(SUFFIXES)})", path, "convert it, to NIfTI for example")
    # numbers of a damaged header are checked, not warned of
    with np.errstate(all="ignore"):
        stored = _stored(path, ending)
        affine = located(stored, path, orientation)
        image = placed(sitk.GetImageFromArray(_grey_values(stored, path)), affine, stored.frame)
    for clause in stored.remarks:
        if remark is not None:
            remark(clause)
    return image


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


def _stored(path: Path, ending: str) -> Stored:
    try:
        stored = _READERS[ending](path)
    except (OSError, MemoryError) as error:
        fix = "check the disk, the memory and the size in its header"
        raise UserError(f"cannot be read ({error})", path, fix) from None
    if min(stored.size) < 2:
        shape = "x".join(map(str, stored.size))
        raise UserError(f"a single slice ({shape})", path, "give the whole volume; slices are cut from it")
    return stored


def _grey_values(stored: Stored, path: Path) -> np.ndarray:
    """Float32 [z, y, x], scaled as the file says."""
    values = np.empty(stored.voxels.shape, np.float32)
    for number, plane in enumerate(stored.voxels):
        values[number] = plane if stored.slope is None else plane * np.float64(stored.slope) + stored.intercept
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise UserError(f"{bad:,} voxels are NaN or infinite", path, "replace them, by 0 for example")
    if values.min() == values.max():
        raise UserError(f"every voxel is {values.min():g}", path, "give a volume with an image in it")
    return values
