"""The control with real images in the wrong place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmodbench.plugins import Control

if TYPE_CHECKING:
    import numpy as np


class ShuffledTarget(Control):
    """Returns real target slices of other subjects: distribution metrics must like it, paired metrics must not."""

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """A seeded permutation of the targets without a slice of the same subject where that is possible.

        With one subject, slices are moved as far along the volume as half the set.
        """
        return target[derangement(list(subjects), seed)]


def derangement(subjects: Sequence[str], seed: int) -> np.ndarray:
    """Indices [N], a permutation in which as few items as possible get one of their own subject.

    The slices, grouped by subject and shuffled within each, are rotated by the largest group's size: when no subject has
    more than half of all slices nobody meets their own.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    names = np.asarray(subjects)
    groups = [rng.permutation(np.flatnonzero(names == name)) for name in np.unique(names)]
    order = np.concatenate(groups)
    if len(groups) == 1:
        order, shift = np.sort(order), max(1, len(order) // 2)
    else:
        shift = max(len(group) for group in groups)
    moved = np.empty(len(order), dtype=np.int64)
    moved[order] = np.roll(order, -shift)
    return moved
