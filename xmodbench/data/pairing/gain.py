"""By how much something else fits better than what is stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST = 0.005
"""Less shared information (NMI - 1) than this is noise, and nothing to compare with."""


class Gain(NamedTuple):
    """``mean``: relative to what is shared as stored; ``share``: of slices that gain."""

    mean: float
    share: float

    def clear(self, margin: float, share: float) -> bool:
        """Whether it is above the margin, in enough slices."""
        return self.mean > margin and self.share >= share


def gain(stored: np.ndarray, other: np.ndarray) -> Gain:
    """Compare NMI slice by slice, [N] each."""
    difference = np.asarray(other) - stored
    return Gain(float(difference.mean() / max(LEAST, stored.mean() - 1)), float((difference > 0).mean()))


def spread(count: int, most: int) -> np.ndarray:
    """At most so many indices below `count`, evenly over all of them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
