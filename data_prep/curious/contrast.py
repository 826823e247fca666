"""Whether a volume said to be T1 has the contrast of T1: other packages of these scans number their channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.resample import resample
from xmodbench.errors import UserError
from xmodbench.plugins import SubjectRecord
from xmodbench.progress import Progress

COARSE_MM = 2.0
DARK = 0.25  # of the 90th percentile
SCALP_MM, CLEAR_MM, NEAR_MM, FAR_MM = 14.0, 4.0, 7.0, 9.0
LEAST_VOXELS = 200


def check_contrast(records: Sequence[SubjectRecord], raw_dir: Path, progress: Progress) -> None:
    """Compare T1 and FLAIR of every subject; name those that look exchanged.

    Raises:
        UserError: most of those that can be judged do.
    """
    complete = [record for record in records if {"t1", "flair"} <= set(record.files)]
    verdicts: dict[str, bool | None] = {}
    for record in progress.track(complete, "check contrast", total=len(complete)):
        try:
            t1, flair = (_coarse(record.files[name]) for name in ("t1", "flair"))
        except UserError:
            continue  # named by prepare
        verdicts[record.subject] = exchanged(t1, resample(flair, t1))
    unclear = [name for name, verdict in verdicts.items() if verdict is None]
    odd, judged = [name for name, verdict in verdicts.items() if verdict], len(verdicts) - len(unclear)
    if odd and len(odd) > judged / 2:
        raise UserError(
            f"T1 and FLAIR look exchanged in {len(odd)} of {judged} cases"
            + (f"; {len(unclear)} show too little to tell" if unclear else ""),
            raw_dir,
            "exchange them in `patterns`, or set `check_contrast: false` once you have looked",
        )
    if odd:
        progress.say(f"look at {', '.join(odd)} once prepared (inspect shows them): T1 and FLAIR might be exchanged")
    if unclear:
        progress.say(
            f"whether T1 and FLAIR are exchanged cannot be told in {len(unclear)} of {len(verdicts)} cases, they show too "
            f"little of the head: {', '.join(unclear)}"
        )


def exchanged(t1: sitk.Image, flair: sitk.Image) -> bool | None:
    """Whether two things say that the volumes are exchanged; None where too little of the head is there to tell.

    White matter is brighter than cortex in T1 and darker in FLAIR: from tissue near to what is dark in both (fluid,
    bone) to tissue far from it, T1 has to rise more. The scalp's fat is far brighter than the brain in T1 only.
    """
    arrays = [sitk.GetArrayFromImage(image) for image in (t1, flair)]
    spacing = float(np.mean(t1.GetSpacing()))
    if not all((array > 0).any() for array in arrays):
        return None
    darks = [array < DARK * np.percentile(array[array > 0], 90) for array in arrays]
    head = _head(darks[0] & darks[1])
    if head.all() or not (darks[0] & darks[1]).any():
        return None  # neither a scalp nor a distance to it
    deep = distance_transform_edt(head) * spacing > SCALP_MM
    core = deep & (distance_transform_edt(~(darks[0] | darks[1])) * spacing > CLEAR_MM)
    distance = distance_transform_edt(~(darks[0] & darks[1])) * spacing
    near, far, scalp = core & (distance < NEAR_MM), core & (distance > FAR_MM), head & ~deep
    if min(near.sum(), far.sum(), scalp.sum()) < LEAST_VOXELS:
        return None
    rises = [np.median(array[far]) / np.median(array[near]) for array in arrays]
    scalps = [np.percentile(array[scalp], 90) / np.median(array[core]) for array in arrays]
    return bool(rises[1] > rises[0] and scalps[1] > scalps[0])


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
