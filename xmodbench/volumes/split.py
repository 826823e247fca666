"""Division into training and test slices: by subject, or by blocks of slices where there is only one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmodbench.errors import UserError, did_you_mean
from xmodbench.seeding import derive_seed
from xmodbench.volumes.settings import Split


def split_subjects(subjects: Sequence[str], how: Split, seed: int) -> tuple[list[str], list[str]]:
    """Training and test subjects, each sorted; they never share a subject.

    Raises:
        UserError: there are not enough subjects, or a named one does not exist.
    """
    ordered = sorted(subjects)
    if how.test_subjects is not None:
        for name in how.test_subjects:
            if name not in ordered:
                raise UserError(f"no subject '{name}'", "split.test_subjects", did_you_mean(name, ordered))
        test = sorted(set(how.test_subjects))
        train = [name for name in ordered if name not in test][: how.n_train]
    else:
        if how.order == "random":
            generator = np.random.default_rng(derive_seed(seed, "split"))
            ordered = [ordered[i] for i in generator.permutation(len(ordered))]
        n_test = how.n_test or max(1, round(how.test_fraction * min(len(ordered), _wanted(how, len(ordered)))))
        n_train = how.n_train or len(ordered) - n_test
        if n_train < 1 or n_train + n_test > len(ordered):
            problem = f"{n_train} training and {n_test} test subjects asked for, {len(ordered)} can be used"
            raise UserError(problem, "split", "lower n_train or n_test, or add subjects")
        train, test = sorted(ordered[:n_train]), sorted(ordered[n_train : n_train + n_test])
    if not train:
        raise UserError("no training subject is left", "split", "name fewer test subjects")
    return train, test


def _wanted(how: Split, available: int) -> int:
    # with n_train alone, the test share is of train and test together
    return available if how.n_train is None else max(1, round(how.n_train / (1 - how.test_fraction)))


def split_blocks(positions: Sequence[float], how: Split, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the training and the test slices of a lone subject.

    The test slices are one contiguous block (the upper end, or with ``order: random`` a place drawn by the seed);
    slices within ``gap_mm`` of the block are in neither part, because neighbouring slices are nearly the same image.

    Raises:
        UserError: too few slices for both parts.
    """
    positions = np.asarray(positions, float)
    order = np.argsort(positions, kind="stable")
    n_test = max(1, round(how.test_fraction * len(order)))
    start = len(order) - n_test
    if how.order == "random":
        start = int(np.random.default_rng(derive_seed(seed, "split")).integers(0, start + 1))
    test = order[start : start + n_test]
    low, high = positions[test].min() - how.gap_mm, positions[test].max() + how.gap_mm
    train = [int(i) for i in order if positions[i] <= low or positions[i] >= high]
    train = [i for i in train if i not in set(test.tolist())]
    if not train:
        raise UserError(
            f"one subject with {len(order)} slices leaves no training slice beside the gap of {how.gap_mm:g} mm",
            "split",
            "take more slices, or lower gap_mm or test_fraction",
        )
    return train, [int(i) for i in test]
