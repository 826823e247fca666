"""Differences between methods on the same images: all pairs in one metric, with their intervals and tests."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from xmodbench.errors import amount
from xmodbench.metrics import stats
from xmodbench.metrics.registry import Metric
from xmodbench.metrics.uncertainty import Measured


def compared(measured: list[Measured], metric: Metric) -> list[dict[str, Any]]:
    """All pairs A - B of cells in one metric, in order.

    Returns:
        One dict for each pair: ``difference`` of the cells' values with the interval ``low`` to ``high`` over the subjects
        (and seeds) that both share, ``p`` of Fisher's randomisation test over subjects and ``p_holm``, adjusted over the
        pairs; these two are None with a ``reason`` where there can be none.
    """
    names = [each.item.cell.method for each in measured]
    first, second = (np.array(places) for places in zip(*combinations(range(len(names)), 2), strict=True))
    numbers = [each.numbers[metric.id] for each in measured]
    values = np.array([number.value for number in numbers])
    difference = values[first] - values[second]
    ends = _intervals(difference, numbers, first, second)
    subjects = len(measured[0].sums(metric.id)) if metric.level != "direction" else _subjects(measured[0])
    p, reason = _tested(measured, metric, first, second, subjects)
    adjusted = None if p is None else stats.holm(p)
    return [
        {
            "a": names[first[row]],
            "b": names[second[row]],
            "difference": float(difference[row]),
            "low": None if ends is None else float(ends[0, row]),
            "high": None if ends is None else float(ends[1, row]),
            "subjects": subjects,
            "p": None if p is None else float(p[row]),
            "p_holm": None if adjusted is None else float(adjusted[row]),
            "reason": reason,
        }
        for row in range(len(first))
    ]


def _subjects(measured: Measured) -> int:
    return len(set(measured.item.image_scores["subject"]))


def _intervals(difference: np.ndarray, numbers, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Ends ``[2, pairs]``: subjects are shared, seeds are each method's own."""
    if any(number.effects is None for number in numbers):
        return None
    effects = np.stack([number.effects for number in numbers], axis=1)
    if len(effects) < 2:
        return None
    spreads = [stats.between_subjects(effects[:, first] - effects[:, second])]
    by_method = [stats.between_seeds(np.array(number.seeds)) for number in numbers]
    for places in (first, second):
        variances = np.array([by_method[place].variance for place in places])
        df = np.array([by_method[place].df for place in places])
        spreads += [stats.Spread(variances, df)] if variances.any() else []
    return stats.t_interval(difference, *spreads)


def _tested(
    measured: list[Measured], metric: Metric, first: np.ndarray, second: np.ndarray, subjects: int
) -> tuple[np.ndarray | None, str | None]:
    if metric.level == "direction":
        return None, "a distance between sets has no values of subjects to test"
    if subjects < stats.MIN_SUBJECTS:
        return None, f"{amount(subjects, 'subject')}: a test needs {stats.MIN_SUBJECTS}"
    sums = np.stack([each.sums(metric.id) for each in measured], axis=1)
    return stats.sign_flips(sums[:, first] - sums[:, second]), None
