"""How far the slices of two modalities still lie apart: the in-plane shift at which they share most information."""

from __future__ import annotations

import numpy as np

from xmodbench.data.pairing.information import grey_levels, shared_information

REACH = 4


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
    a, b = grey_levels(a), grey_levels(b)
    fixed = a[:, reach : height - reach, reach : width - reach]

    def shared(down: int, right: int) -> float:
        rows, cols = slice(reach + down, height - reach + down), slice(reach + right, width - reach + right)
        return shared_information(fixed, b[:, rows, cols])

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
