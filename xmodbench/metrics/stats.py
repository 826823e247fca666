"""Statistics of per-image scores: the subject, not the slice, is the unit that was sampled.

Intervals come from a bootstrap of whole subjects, tests compare subject means, and both say so where there are too few
subjects for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, wilcoxon

MIN_SUBJECTS = 6
"""Below six pairs the exact Wilcoxon test cannot reach 0.05, whatever the data."""


def bootstrap_weights(n_subjects: int, resamples: int, seed: int) -> np.ndarray:
    """How often each subject is drawn in each resample: int ``[resamples, n_subjects]``, rows sum to n_subjects."""
    return np.random.default_rng(seed).multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), resamples)


def resampled_means(scores: np.ndarray, subjects: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """Mean over images of each resample of whole subjects.

    Args:
        scores: ``[images, metrics]``.
        subjects: one per image.
        seed: equal seeds and equal subjects give equal resamples, so methods can be compared resample by resample.

    Returns:
        float64 ``[resamples, metrics]``.

    Raises:
        ValueError: there are no scores, or one is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("scores must be finite, and there must be some")
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, index, scores)
    weights = bootstrap_weights(len(names), resamples, seed)
    return (weights @ sums) / (weights @ np.bincount(index))[:, None]


def interval(samples: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Percentile interval over the first axis: ``[2, ...]``."""
    tail = (1 - level) / 2
    return np.quantile(samples, [tail, 1 - tail], axis=0)


def cluster_bootstrap(
    scores: np.ndarray, subjects: Sequence[str], resamples: int, seed: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over images and its percentile interval under resampling of subjects.

    Returns:
        means ``[metrics]`` and intervals ``[2, metrics]``; with one subject the interval is NaN, because nothing is known
        about other subjects.
    """
    scores = np.asarray(scores, np.float64)
    samples = resampled_means(scores, subjects, resamples, seed)
    if len(set(subjects)) < 2:
        return scores.mean(0), np.full((2, scores.shape[1]), np.nan)
    return scores.mean(0), interval(samples, level)


def subject_means(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean of each subject's images; index: subject."""
    return scores.groupby("subject", sort=True)[list(metrics)].mean()


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of a family of p-values."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def paired_tests(means: dict[str, pd.Series]) -> list[dict[str, Any]]:
    """Wilcoxon signed-rank tests between all pairs of methods on their subject means, Holm-adjusted as one family.

    Args:
        means: subject means of one metric by method; all over the same subjects.

    Returns:
        One dict for each pair: ``a``, ``b``, ``difference`` (mean of a - b over subjects), ``subjects``, ``p`` and
        ``p_holm``; these are None with a ``reason`` where there are less than `MIN_SUBJECTS` subjects.

    Raises:
        ValueError: two methods were scored on different subjects.
    """
    names = list(means)
    for other in names[1:]:
        if not means[names[0]].index.equals(means[other].index):
            raise ValueError(f"{names[0]} and {other} were scored on different subjects")
    pairs = list(combinations(names, 2))
    if not pairs:
        return []
    values = {name: series.to_numpy() for name, series in means.items()}
    subjects = len(values[names[0]])
    shared: dict[str, Any] = {"subjects": subjects, "p": None, "p_holm": None, "reason": None}
    if subjects < MIN_SUBJECTS:
        shared["reason"] = f"{subjects} subjects: a test needs {MIN_SUBJECTS}"
    rows = [{"a": a, "b": b, "difference": float((values[a] - values[b]).mean()), **shared} for a, b in pairs]
    if subjects >= MIN_SUBJECTS:
        p = np.concatenate(
            [_signed_ranks(np.stack([values[a] - values[b] for a, b in some])) for some in _batches(pairs)]
        )
        for row, raw, adjusted in zip(rows, p, holm(p), strict=True):
            row.update(p=float(raw), p_holm=float(adjusted))
    return rows


def _batches(pairs: list[tuple[str, str]], size: int = 10_000) -> Iterator[list[tuple[str, str]]]:
    return (pairs[begin : begin + size] for begin in range(0, len(pairs), size))


def _signed_ranks(differences: np.ndarray) -> np.ndarray:
    """P-value of Wilcoxon's test of each row of ``[pairs, subjects]``, 1 where nothing differs.

    Pairs are many (some ten thousand for some hundred methods), so that they are tested at once where that changes nothing:
    which form of the test is right depends on the zeros and ties of its own differences.
    """
    sizes = np.sort(np.abs(differences), axis=1)
    plain = (sizes[:, 0] > 0) & (np.diff(sizes, axis=1) > 0).all(axis=1)
    p = np.ones(len(differences))
    if plain.any():
        p[plain] = wilcoxon(differences[plain], axis=1).pvalue
    for row in np.flatnonzero(~plain & differences.any(axis=1)):
        p[row] = wilcoxon(differences[row]).pvalue
    return p


def ranks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Ranks along the last axis, 1 is best; ties share their mean rank."""
    values = np.asarray(values, np.float64)
    return rankdata(-values if higher_is_better else values, axis=-1)
