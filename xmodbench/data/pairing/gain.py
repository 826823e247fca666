"""By how much something else fits better than what is stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST = 0.005
"""Less shared information (NMI - 1) than this is noise, and nothing to compare with."""
TIE = 1e-9
"""Of two NMI: the same histogram, as the end of a stack that was shifted and filled up."""


class Gain(NamedTuple):
    """``mean``: relative to what is shared as stored; ``share``: of slices that gain, among those that change."""

    mean: float
    share: float

    def clear(self, margin: float, share: float) -> bool:
        """Whether it is above the margin, in enough slices."""
        return self.mean > margin and self.share >= share


def gain(stored: np.ndarray, other: np.ndarray) -> Gain:
    """Compare NMI slice by slice, [N] each."""
    difference = np.asarray(other) - stored
    changed = np.abs(difference) > TIE
    share = float((difference > TIE).sum() / max(1, changed.sum()))
    return Gain(float(difference.mean() / max(LEAST, stored.mean() - 1)), share)


def spread(count: int, most: int) -> np.ndarray:
    """At most so many indices below `count`, evenly over all of them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
