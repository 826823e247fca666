"""The two positions that a NIfTI header can give, and what each is worth."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from xmodbench.data.volumes.placing import APART_MM, farthest
from xmodbench.errors import UserError

# squared length that a quaternion's vector part may have above 1, by rounding; from the second on it is remarked upon
_TOO_LONG, _ROUNDED = 1e-3, 1e-6


def positions(
    header: nibabel.Nifti1Header, size: tuple[int, ...], mm: float, path: Path, remarks: list[str]
) -> np.ndarray | None:
    """The 4x4 matrix from voxel index to RAS mm: of the sform, else of the qform; None where both codes are 0.

    Where the other one, or the voxel size in pixdim, places a corner elsewhere by more than a millimetre, that is
    remarked upon. The sform counts, as for nibabel; ITK 5.4 takes the qform wherever sform_code is not 1.

    Args:
        mm: millimetres per unit of the header.

    Raises:
        UserError: the one that counts is no position.
    """
    scale = np.diag([mm, mm, mm, 1.0])
    sform = scale @ header.get_sform() if header["sform_code"] > 0 else None
    qform, problem = _qform(header, remarks) if header["qform_code"] > 0 else (None, None)
    qform = None if qform is None else scale @ qform
    if sform is None:
        if problem:
            raise UserError(f"its qform is no position ({problem}), and it has no sform", path, "correct its header")
        return qform
    if not np.isfinite(sform).all() or (np.linalg.norm(sform[:3, :3], axis=0) == 0).any():
        raise UserError("its sform is no position in space", path, "correct srow_x, srow_y and srow_z")
    if problem:
        remarks.append(f"its qform is no position ({problem}); the sform is used")
    if qform is not None:
        apart = farthest(sform, qform, size)
        if apart > APART_MM:
            remarks.append(f"sform and qform place the volume's corners up to {apart:.1f} mm apart; the sform is used")
    else:
        _compare_voxels(sform, np.array(header["pixdim"][1:4], float) * mm, size, remarks)
    return sform


def _qform(header: nibabel.Nifti1Header, remarks: list[str]) -> tuple[np.ndarray | None, str | None]:
    """The matrix of the qform in the header's unit, or why there is none.

    nibabel refuses a vector part (b, c, d) that is longer than 1 by rounding; nifti1_io.c shortens it, as is done here.
    """
    vector = np.array([float(header[f"quatern_{letter}"]) for letter in "bcd"])
    offset = np.array([float(header[f"qoffset_{letter}"]) for letter in "xyz"])
    if not (np.isfinite(vector).all() and np.isfinite(offset).all()):
        return None, "not finite"
    squared = float(vector @ vector)
    if squared > 1 + _TOO_LONG:
        return None, f"its quaternion has a length of {np.sqrt(squared):.3g}"
    if squared > 1:
        vector /= np.sqrt(squared)
        if squared > 1 + _ROUNDED:
            remarks.append("its qform's quaternion is a little longer than 1 and shortened")
    real = np.sqrt(max(0.0, 1.0 - float(vector @ vector)))
    matrix = np.eye(4)
    voxel = np.array(header["pixdim"][1:4], float)
    # of a sign of 0 nifti1.h says that it is 1
    voxel[2] *= -1 if header["pixdim"][0] < 0 else 1
    matrix[:3, :3] = nibabel.quaternions.quat2mat([real, *vector]) * voxel
    matrix[:3, 3] = offset
    return matrix, None


def _compare_voxels(sform: np.ndarray, voxel: np.ndarray, size: tuple[int, ...], remarks: list[str]) -> None:
    own = np.linalg.norm(sform[:3, :3], axis=0)
    if (np.abs(own - voxel) * size).max() > APART_MM:
        ours, theirs = (" x ".join(f"{value:.4g}" for value in item) for item in (own, voxel))
        remarks.append(f"pixdim says voxels of {theirs} mm, the sform of {ours}; the sform is used")
