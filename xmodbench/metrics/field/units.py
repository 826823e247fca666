"""What 0 and 1 of a store's slices stand for, and where the body is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from xmodbench.data.volumes.normalise import ends_columns
from xmodbench.metrics.paired import foreground

HU_RANGE = (-1024.0, 3071.0)
"""The range that SynthRAD2025 scores in: what 12 bits of a CT hold."""
BODY_HU = -500.0
AIR_HU = -300.0
"""A window that begins above it shows no air: its numbers need not be HU."""


@dataclass(frozen=True)
class Scale:
    """How a modality's values in [0, 1] become those that are scored.

    Attributes:
        hu: whether these are Hounsfield units; else they are shares of the range that each scan was mapped from.
        low, high: what 0 and 1 stand for; 0 and 1 themselves where it is not HU.
    """

    hu: bool
    low: float = 0.0
    high: float = 1.0

    def values(self, images: np.ndarray) -> np.ndarray:
        """Images in [0, 1] in this unit, float64."""
        return self.low + np.asarray(images, np.float64) * (self.high - self.low)

    def shares(self, images: np.ndarray) -> np.ndarray:
        """Images in [0, 1] as shares of the range that is scored in (`HU_RANGE`, or the scan's own), float64 in [0, 1]."""
        if not self.hu:
            return np.asarray(images, np.float64)
        bottom, top = HU_RANGE
        return (np.clip(self.values(images), bottom, top) - bottom) / (top - bottom)


def scale_of(manifest: Mapping[str, Any], columns: Sequence[str], modality: str) -> Scale | None:
    """The scale of a store's modality; None where the store does not keep what 0 and 1 stood for.

    Args:
        columns: of ``slices.csv``.
    """
    if not set(ends_columns(modality)) <= set(columns):
        return None
    how = ((manifest.get("settings") or {}).get("normalise") or {}).get(modality) or {}
    if how.get("method") == "window" and how["low"] < AIR_HU:
        return Scale(True, float(how["low"]), float(how["high"]))
    return Scale(False)


def body(target: np.ndarray, source: np.ndarray, of_target: Scale, of_source: Scale) -> np.ndarray:
    """Bool [N, H, W]: head or body, from the real images alone, so that no translation moves it.

    Where target or source is a CT: its largest part above -500 HU, holes filled (the target's, if both are). Else target or
    source above 0.05, holes filled. A slice with none of it counts whole.
    """
    cts = [(images, scale) for images, scale in ((target, of_target), (source, of_source)) if scale.hu]
    found = outline(cts[0][0], body_threshold(*cts[0])) if cts else foreground(target, source)
    found[~found.any((1, 2))] = True
    return found


def outline(images: np.ndarray, threshold: float) -> np.ndarray:
    """Bool [N, H, W]: in each slice the largest connected part above a threshold, its holes filled."""
    found = np.zeros(images.shape, bool)
    for place, image in enumerate(images):
        labels, count = ndimage.label(image > threshold)
        if count:
            largest = np.argmax(np.bincount(labels.ravel())[1:]) + 1
            found[place] = ndimage.binary_fill_holes(labels == largest)
    return found


def body_threshold(target: np.ndarray, scale: Scale) -> float:
    """Above which an image of this modality shows body: -500 HU, or half of Otsu's threshold of the real images."""
    if scale.hu:
        return (BODY_HU - scale.low) / (scale.high - scale.low)
    # the brightest (fat, vessels) would pull Otsu's threshold above dark tissue
    clamped = np.minimum(target, np.percentile(target, 99))
    return 0.5 * float(threshold_otsu(clamped)) if np.ptp(clamped) > 0 else 0.0
