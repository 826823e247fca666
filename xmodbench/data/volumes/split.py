"""Division into training and test slices: by subject, or by blocks of slices where there is only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xmodbench.data.volumes.settings import Split
from xmodbench.errors import UserError, did_you_mean
from xmodbench.seeding import derive_seed


def split_subjects(
    subjects: Sequence[str], how: Split, seed: int, sites: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Training and test subjects, each sorted; they never share a subject.

    Args:
        seed: of the run, for ``order: random``.
        sites: by subject, for ``order: site_stratified``.

    Raises:
        UserError: there are not enough subjects, or a named one does not exist.
    """
    ordered = sorted(subjects)
    if how.train_subjects is not None:
        train, test = _both_named(ordered, how)
    elif how.test_subjects is not None:
        train, test = _test_named(ordered, how)
    else:
        train, test = _by_number(ordered, how, seed, sites or {})
    if not train:
        raise UserError("no training subject is left", "split", "name fewer test subjects")
    return sorted(train), sorted(test)


def _both_named(subjects: list[str], how: Split) -> tuple[list[str], list[str]]:
    train = [name for name in dict.fromkeys(how.train_subjects or ()) if name in subjects][: how.n_train]
    test = [name for name in dict.fromkeys(how.test_subjects or ()) if name in subjects][: how.n_test]
    for part, found in (("training", train), ("test", test)):
        if not found:
            problem = f"none of the {part} subjects it names can be used"
            raise UserError(problem, "split", "add volumes, or split otherwise: `split: {order: sorted, ...}`")
    return train, test


def _test_named(subjects: list[str], how: Split) -> tuple[list[str], list[str]]:
    for name in how.test_subjects or ():
        if name not in subjects:
            raise UserError(f"no subject '{name}'", "split.test_subjects", did_you_mean(name, subjects))
    test = sorted(set(how.test_subjects or ()))
    return [name for name in subjects if name not in test][: how.n_train], test


def _by_number(subjects: list[str], how: Split, seed: int, sites: Mapping[str, str]) -> tuple[list[str], list[str]]:
    total = len(subjects)
    n_test = how.n_test or max(1, round(how.test_fraction * min(total, _wanted(how, total))))
    n_train = how.n_train or total - n_test
    if n_train < 1 or n_train + n_test > total:
        problem = f"{n_train} training and {n_test} test subjects asked for, {total} can be used"
        raise UserError(problem, "split", "lower n_train or n_test, or add subjects")
    if how.order == "site_stratified":
        return _stratified(subjects, n_train, n_test, sites)
    if how.order.startswith("random"):
        generator = _generator(how, seed)
        subjects = [subjects[i] for i in generator.permutation(total)]
    return subjects[:n_train], subjects[n_train : n_train + n_test]


def _stratified(
    subjects: list[str], n_train: int, n_test: int, sites: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    groups: dict[str, list[str]] = {}
    for name in subjects:
        groups.setdefault(sites.get(name, ""), []).append(name)
    chosen: tuple[list[str], list[str]] = ([], [])
    tests = _shares(n_test, {site: len(names) for site, names in groups.items()})
    trains = _shares(n_train, {site: len(names) - tests[site] for site, names in groups.items()})
    for site, names in groups.items():
        chosen[0].extend(names[: trains[site]])
        chosen[1].extend(names[len(names) - tests[site] :])
    return chosen


def _shares(number: int, sizes: dict[str, int]) -> dict[str, int]:
    """`number` divided in proportion to sizes: whole parts, then one more for the largest remainders (Hamilton's way)."""
    total = max(1, sum(sizes.values()))
    exact = {site: number * size / total for site, size in sizes.items()}
    parts = {site: int(value) for site, value in exact.items()}
    for site in sorted(exact, key=lambda key: (parts[key] - exact[key], key))[: number - sum(parts.values())]:
        parts[site] += 1
    return parts


def _wanted(how: Split, available: int) -> int:
    # with n_train alone, the test share is of train and test together
    return available if how.n_train is None else max(1, round(how.n_train / (1 - how.test_fraction)))


def split_blocks(positions: Sequence[float] | np.ndarray, how: Split, seed: int) -> tuple[list[int], list[int]]:
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
    if how.order.startswith("random"):
        start = int(_generator(how, seed).integers(0, start + 1))
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


def _generator(how: Split, seed: int) -> np.random.Generator:
    """Of ``random`` (the run's seed) or ``random:7``."""
    own = how.order.partition(":")[2]
    return np.random.default_rng(derive_seed(int(own) if own else seed, "split"))
