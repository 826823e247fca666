"""Whether a volume said to be T1 has the contrast of T1: other packages of these scans number their channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

from xmodbench.errors import UserError
from xmodbench.progress import Progress
from xmodbench.volumes.io import read_volume
from xmodbench.volumes.resample import resample
from xmodbench.volumes.settings import SubjectRecord

COARSE_MM = 2.0
DARK = 0.3
NEAR_MM, FAR_MM, SCALP_MM = (2.0, 5.0), 7.0, 14.0


def check_contrast(records: Sequence[SubjectRecord], raw_dir: Path, progress: Progress) -> None:
    """Compare T1 and FLAIR of every subject; name those that look exchanged.

    Raises:
        UserError: most do.
    """
    complete = [record for record in records if {"t1", "flair"} <= set(record.files)]
    odd = []
    for record in progress.track(complete, "check contrast", total=len(complete)):
        try:
            t1, flair = (_coarse(record.files[name]) for name in ("t1", "flair"))
        except UserError:
            continue  # named by prepare
        if exchanged(t1, resample(flair, t1)):
            odd.append(record.subject)
    if odd and len(odd) > len(complete) / 2:
        raise UserError(
            f"T1 and FLAIR look exchanged in {len(odd)} of {len(complete)} cases",
            raw_dir,
            "exchange them in `patterns`, or set `check_contrast: false` once you have looked",
        )
    if odd:
        progress.say(f"look at {', '.join(odd)} with `xmodbench inspect`: T1 and FLAIR might be exchanged")


def exchanged(t1: sitk.Image, flair: sitk.Image) -> bool:
    """Whether `flair` rises from cortex to white matter more than `t1` does: in T1 white matter is the brighter.

    Cortex lies next to what is dark in both (fluid, bone), white matter farther away.
    """
    arrays = [sitk.GetArrayFromImage(image) for image in (t1, flair)]
    arrays = [array / max(np.percentile(array[array > 0], 95), 1e-6) for array in arrays]
    dark = (arrays[0] < DARK) & (arrays[1] < DARK)
    distance = distance_transform_edt(~dark) * COARSE_MM
    deep = distance_transform_edt(_head(dark)) * COARSE_MM > SCALP_MM
    near = deep & (distance >= NEAR_MM[0]) & (distance <= NEAR_MM[1])
    far = deep & (distance >= FAR_MM)
    if min(near.sum(), far.sum()) < 50:
        return False
    rises = [np.median(array[far]) / np.median(array[near]) for array in arrays]
    return bool(rises[1] > rises[0])


def _head(dark: np.ndarray) -> np.ndarray:
    """All but the air that is open to the border of the field of view; a border through the head is none."""
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(dark.astype(np.uint8)))
    labels = sitk.GetArrayFromImage(parts)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    # the outside is much larger than a ventricle or a sinus
    return ~np.isin(labels, np.flatnonzero(sizes > 0.05 * labels.size))


def _coarse(path: Path) -> sitk.Image:
    image = sitk.Maximum(read_volume(path), 0.0)
    factors = [max(1, round(COARSE_MM / spacing)) for spacing in image.GetSpacing()]
    return sitk.BinShrink(image, factors)
