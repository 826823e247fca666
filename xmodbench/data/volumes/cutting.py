"""One slice of a volume to one image of the store, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xmodbench.data.volumes.normalise import Ends, ends_columns, slice_ends, stretch
from xmodbench.data.volumes.settings import Preparation
from xmodbench.data.volumes.slicing import Crop, to_square


def masked(settings: Preparation, name: str, plane: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A slice [rows, cols] of a modality, with what is no head or body set to 0 where that is asked for."""
    if not settings.mask_background:
        return plane
    return np.where(inside, plane, plane.min() if settings.normalisation(name).method == "minmax_slice" else 0)


def cut_out(settings: Preparation, name: str, plane: np.ndarray, inside: np.ndarray, crop: Crop) -> np.ndarray:
    """The image [image_size, image_size] in [0, 1] of a slice."""
    plane = masked(settings, name, plane, inside)
    if settings.normalisation(name).method == "minmax_slice":
        plane = stretch(plane)
    return np.clip(to_square(plane, crop, settings.image_size), 0, 1)


def ends_row(planes: Mapping[str, np.ndarray], ends: Mapping[str, Ends | None]) -> dict[str, float]:
    """By column of ``slices.csv``, the raw values of each modality that became 0 and 1 in a slice.

    Args:
        planes: by modality, the slice.
        ends: of the volumes; None where each slice has its own.
    """
    found: dict[str, float] = {}
    for name, plane in sorted(planes.items()):
        found |= zip(ends_columns(name), map(float, ends[name] or slice_ends(plane)), strict=True)
    return found


def head_facts(view: np.ndarray, crop: Crop) -> dict[str, Any]:
    """First and last slice with head or body, and the share of it that the field of view leaves out.

    Args:
        view: bool [slices, rows, cols].
    """
    there = np.flatnonzero(view.any(axis=(1, 2)))
    within = sum(int(crop.cut(plane, False).sum()) for plane in view)
    return {"slices": [int(there[0]), int(there[-1])], "cut_off": round(1 - within / int(view.sum()), 4)}
