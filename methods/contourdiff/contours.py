"""Canny's contours of 8-bit images, with the conventions of OpenCV that the published thresholds belong to."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

EIGHT = np.ones((3, 3), bool)  # neighbours of a pixel in the tracing of weak edges
_BLUR = np.array([0.25, 0.5, 0.25])  # OpenCV's Gaussian of three pixels, where no sigma is given
STEEP = np.tan(np.deg2rad(67.5))


def contour_maps(images: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Contours of ``images`` [B, 1, H, W] in [0, 1]: 1 on them, 0 elsewhere, of the same shape.

    Args:
        low, high: thresholds of the gradient in grey levels of 255, as sums of both absolute Sobel derivatives (a straight
            step of height 1 has 1020 without the blur).
    """
    found = [contours(image, low, high) for image in images[:, 0].float().cpu().numpy()]
    return torch.from_numpy(np.stack(found)[:, None]).to(images)


def contours(image: np.ndarray, low: int, high: int) -> np.ndarray:
    """Contours of one image [H, W] in [0, 1]: bool of the same shape. Blurs 3 x 3 first, in whole grey levels."""
    grey = np.rint(255 * np.clip(image, 0, 1))
    for axis in (0, 1):
        grey = ndimage.correlate1d(grey, _BLUR, axis, mode="mirror")
    grey = np.rint(grey)
    down, right = (ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1))
    strength = np.abs(down) + np.abs(right)
    thin = np.where(_ridge(strength, down, right), strength, 0)
    regions, _ = ndimage.label(thin > low, EIGHT)
    strong = np.unique(regions[thin > high])
    return np.isin(regions, strong[strong > 0])


def _ridge(strength: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where the gradient is largest along its own direction, of which there are four; of equals the latter one counts."""
    padded = np.pad(strength, 1)

    def beside(rows: int, columns: int) -> np.ndarray:
        height, width = strength.shape
        return padded[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    flat, steep = np.abs(down) * STEEP < np.abs(right), np.abs(down) > STEEP * np.abs(right)
    rising = (down > 0) == (right > 0)
    largest = (strength > beside(-1, -1)) & (strength > beside(1, 1))
    largest = np.where(rising, largest, (strength > beside(-1, 1)) & (strength > beside(1, -1)))
    largest = np.where(flat, (strength > beside(0, -1)) & (strength >= beside(0, 1)), largest)
    return np.where(steep, (strength > beside(-1, 0)) & (strength >= beside(1, 0)), largest)
