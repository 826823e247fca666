"""Scores of whole volumes: a subject's slices put in their order along the axis, and judged together.

With them come the field's numbers of single slices, which are made of the same maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.metrics.field import similarity, structure
from xmodbench.metrics.field.cards import ALWAYS, EXTRAS
from xmodbench.metrics.field.tissues import BONE_HU, hu_by_tissue
from xmodbench.metrics.field.units import Scale, body, body_threshold, outline

CARDS = ALWAYS | {metric.id: metric for metric in EXTRAS.values()}


@dataclass(frozen=True)
class Field:
    """What `score_volumes` finds.

    Attributes:
        slices: metric id to float64 ``[N]``.
        volumes: by subject, metric id to its value; None where the target has nothing to be compared.
        tissues: by subject, what `hu_by_tissue` says; none where the target is not in HU.
    """

    slices: dict[str, np.ndarray]
    volumes: dict[str, dict[str, float | None]]
    tissues: dict[str, dict[str, Any]] = field(default_factory=dict)


def score_volumes(
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    subjects: Sequence[str],
    positions: Sequence[float],
    of_target: Scale,
    of_source: Scale,
    in_3d: bool = False,
) -> Field:
    """The field's numbers of a direction, one subject in memory at a time.

    Args:
        images: translations, targets and sources, ``[N, H, W]`` in [0, 1].
        subjects, positions: of the slices; positions along the axis, in mm.
        of_target, of_source: what 0 and 1 stand for.
        in_3d: whether the challenge's own three-dimensional MS-SSIM is computed as well.

    Raises:
        UserError: a score is outside its metric's bounds.
    """
    slices: dict[str, np.ndarray] = {}
    found = Field(slices, {})
    names = np.asarray(subjects, dtype=str)
    for subject in sorted(set(names.tolist())):
        rows = np.flatnonzero(names == subject)
        rows = rows[np.argsort(np.asarray(positions, float)[rows], kind="stable")]
        translation, target, source = (np.asarray(array[rows]) for array in images)
        mask = body(target, source, of_target, of_source)
        of_slices, of_volume = _alike(translation, target, mask, of_target)
        of_slices["field.edges"] = structure.new_edges(translation, target, source, mask)
        of_volume |= _whole(translation, target, mask, of_target)
        if in_3d:
            a, b = of_target.shares(translation), of_target.shares(target)
            of_volume["volume.ms_ssim_3d"] = similarity.ms_ssim_3d(a, b, mask)
        if of_target.hu:
            found.tissues[subject] = hu_by_tissue(translation, target, mask, of_target)
        for name, values in of_slices.items():
            slices.setdefault(name, np.zeros(len(names)))[rows] = values
        found.volumes[subject] = of_volume
    scores = {name: values.tolist() for name, values in slices.items()}
    for of_volume in found.volumes.values():
        for name, value in of_volume.items():
            scores.setdefault(name, []).extend([] if value is None else [value])
    for name, known in scores.items():
        if problem := next(filter(None, map(CARDS[name].problem, known)), None):
            raise UserError(problem, "scoring", "this is a fault of the program: report it with the images")
    return found


def _alike(translation, target, mask, scale: Scale) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
    """MAE, PSNR and MS-SSIM of slices and volume."""
    a, b = scale.shares(translation), scale.shares(target)
    error, name = similarity.mean_absolute(scale.values(translation), scale.values(target), mask), "mae_hu"
    if not scale.hu:
        error, name = similarity.Masked(100 * error.slices, 100 * error.volume), "mae_percent"
    found = {name: error, "psnr": similarity.peak_ratio(a, b, mask), "ms_ssim": similarity.ms_ssim(a, b, mask)}
    return (
        {f"field.{key}": item.slices for key, item in found.items()},
        {f"volume.{key}": item.volume for key, item in found.items()},
    )


def _whole(translation: np.ndarray, target: np.ndarray, mask: np.ndarray, scale: Scale) -> dict[str, float | None]:
    """What only a volume has: changes from slice to slice, and overlaps of segmentations."""
    threshold = body_threshold(target, scale)
    found: dict[str, float | None] = {
        "volume.changes": slice_changes(translation, target, mask),
        "volume.dice_body": structure.dice(outline(translation, threshold), outline(target, threshold)),
    }
    if scale.hu:
        bones = ((scale.values(images) >= BONE_HU) & mask for images in (translation, target))
        return found | {"volume.dice_bone": structure.dice(*bones)}
    inside = structure.inner(mask)
    classes = structure.tissue_classes(target, inside)
    made, real = (structure.classified(images, inside, classes) for images in (translation, target))
    overlaps = [structure.dice(made == one, real == one) for one in range(1, structure.CLASSES + 1)]
    known = [value for value in overlaps if value is not None]
    return found | {"volume.dice_tissue": float(np.mean(known)) if known else None}


def slice_changes(translation: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float | None:
    """Mean absolute error of the changes from slice to slice, by the target's mean absolute change, both inside the bodies.

    None of a single slice, or where the target does not change.

    Args:
        translation, target: slices in their order along the axis, ``[N, H, W]``.
        mask: bool, of the same shape.
    """
    both = mask[1:] & mask[:-1]
    made, real = (np.diff(np.asarray(images, np.float64), axis=0)[both] for images in (translation, target))
    total = float(np.abs(real).sum())
    return float(np.abs(made - real).sum()) / total if total > 0 else None
