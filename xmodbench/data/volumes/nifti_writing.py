"""Writing NIfTI: with the header of the volume that a result belongs to, or a plain one."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.nifti import nifti_header
from xmodbench.data.volumes.resample import affine_ras
from xmodbench.errors import UserError
from xmodbench.files import atomic_file

ENDINGS = (".nii.gz", ".nii")
LIKE = (*ENDINGS, ".hdr.gz", ".hdr")
LEVEL = 6
"""Of gzip: beyond it files get hardly smaller."""


def stem_of(path: Path) -> str:
    """A NIfTI file's name without its ending.

    Raises:
        UserError: it has none of those that are written.
    """
    for ending in ENDINGS:
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    raise UserError("not the name of a NIfTI file", path, "let it end in .nii.gz")


def write_nifti(path: Path, image: sitk.Image, like: Path | None = None, description: str = "") -> None:
    """Write a volume (float32) atomically; the same voxels give the same bytes.

    Args:
        like: a NIfTI file on the same voxels, in the same order of axes: all that its header says of place, unit of length
            and time is kept to the bit. Without it, or where it is of another format, qform and sform are the image's place
            (code 1, scanner) in mm.
        description: up to 79 letters, for the header's ``descrip``.
    """
    stem_of(path)
    voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    header = nifti_header(like) if like is not None and like.name.lower().endswith(LIKE) else _plain_header(image)
    shape = tuple(max(1, int(n)) for n in header["dim"][1 : header["dim"][0] + 1])
    voxels = voxels.reshape(shape)  # there may be further axes, of length 1
    header.set_data_dtype(np.float32)
    header["vox_offset"] = 0
    # of other values than these
    header["cal_min"] = header["cal_max"] = header["intent_code"] = 0
    header["descrip"] = description.encode("ascii", "replace")[:79]
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    data = kind(voxels, None, header).to_bytes()
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(data, LEVEL, mtime=0) if path.name.lower().endswith(".gz") else data)


def _plain_header(image: sitk.Image) -> nibabel.Nifti1Header:
    header = nibabel.Nifti1Header()
    header.set_data_shape(image.GetSize())
    header.set_sform(affine_ras(image), 1)
    header.set_qform(affine_ras(image), 1)
    header.set_xyzt_units("mm")
    return header
