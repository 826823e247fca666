"""How far the slices of two modalities still lie apart: the in-plane shift at which they share most information."""

from __future__ import annotations

import numpy as np

BINS = 32
REACH = 4


def mutual_information(a: np.ndarray, b: np.ndarray, bins: int = BINS) -> float:
    """Normalised mutual information (H(a) + H(b)) / H(a, b), 1 to 2 (Studholme et al. 1999), of images in [0, 1]."""
    joint = np.bincount((_levels(a, bins) * bins + _levels(b, bins)).ravel(), minlength=bins * bins)
    joint = joint.reshape(bins, bins) / joint.sum()

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    both = entropy(joint)
    return (entropy(joint.sum(0)) + entropy(joint.sum(1))) / both if both else 1.0


def residual_shift(a: np.ndarray, b: np.ndarray, reach: int = REACH) -> tuple[float, float]:
    """By how many pixels (rows, columns) the content of `b` lies further down and right than that of `a`.

    All slices are shifted together; whole pixels are searched within +-`reach`, then a parabola gives fractions. A shift
    of `reach` means that or more.

    Args:
        a, b: slices [N, H, W] in [0, 1] of one subject, in the same order.
    """
    height, width = a.shape[1:]
    reach = min(reach, (min(height, width) - 1) // 4)
    if reach < 1:
        return 0.0, 0.0
    fixed = a[:, reach : height - reach, reach : width - reach]

    def shared(down: int, right: int) -> float:
        rows, cols = slice(reach + down, height - reach + down), slice(reach + right, width - reach + right)
        return mutual_information(fixed, b[:, rows, cols])

    steps = range(-reach, reach + 1)
    surface = np.array([[shared(down, right) for right in steps] for down in steps])
    row, column = (int(place) for place in np.unravel_index(surface.argmax(), surface.shape))
    return _refined(surface[:, column], row) - reach, _refined(surface[row], column) - reach


def _refined(values: np.ndarray, index: int) -> float:
    """Where the parabola through the highest value and its neighbours is highest."""
    if not 0 < index < len(values) - 1:
        return float(index)
    before, here, after = values[index - 1 : index + 2]
    bend = before - 2 * here + after
    return float(index) if bend == 0 else float(index + 0.5 * (before - after) / bend)


def _levels(image: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(image * bins, 0, bins - 1).astype(np.int64)
