"""Intervals and ranks of per-image scores: the subject, not the slice, is the unit that was sampled.

Numbers are means over images, so that subjects weigh by how many images they have, everywhere alike. An interval is that
of Student's t around such a mean, with a cluster-robust standard error: the percentile bootstrap is too narrow for the
few subjects that test sets have (`benchmarks/interval_coverage.py`).

What a number owes to each subject is kept as its *effects*: they add up to nothing, the sum of their squares is the squared
standard error, and those of a difference are the differences of effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata, t


class Spread(NamedTuple):
    """A part of a number's squared standard error: ``variance`` (any shape) estimated with ``df`` degrees of freedom."""

    variance: np.ndarray
    df: np.ndarray | float


def subject_effects(scores: np.ndarray, subjects: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Means over images, and what they owe to each subject.

    With subject i's share of the images w_i and its own mean m_i, its effect is w_i (m_i - mean), times a factor that makes
    the sum of squares unbiased where all subjects' means vary alike: sqrt(k / (k - 1)) where their shares are equal. In
    simulations this covers better than the corrections CR1 to CR3 of the same sandwich where they are not.

    Args:
        scores: ``[images, metrics]``.
        subjects: one per image.

    Returns:
        float64 means ``[metrics]``, and effects ``[subjects, metrics]`` in the order of the subjects' names.

    Raises:
        ValueError: there are no scores, or one is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("scores must be finite, and there must be some")
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    mean, sums, counts = scores.mean(0), np.zeros((len(names), scores.shape[1])), np.bincount(index)
    np.add.at(sums, index, scores - mean)
    share = counts / len(scores)
    squares = share @ share
    expected = (share**2 * (1 - 2 * share + squares)).sum()
    factor = np.sqrt(squares / expected) if len(names) > 1 else 1.0
    return mean, factor * sums / len(scores)


def jackknife_effects(without: np.ndarray) -> np.ndarray:
    """What a number that is no mean owes to each subject: from its values ``[subjects, ...]`` without each in turn."""
    without = np.asarray(without, np.float64)
    return np.sqrt((len(without) - 1) / len(without)) * (without.mean(0) - without)


def between_subjects(effects: np.ndarray) -> Spread:
    """The squared standard error that effects ``[subjects, ...]`` add up to."""
    return Spread(np.square(effects).sum(0), len(effects) - 1)


def between_seeds(values: np.ndarray) -> Spread:
    """The squared standard error of a mean over seeds, of values ``[seeds, ...]``; none of a single seed."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return Spread(np.zeros(values.shape[1:]), np.inf)
    return Spread(values.var(0, ddof=1) / len(values), len(values) - 1)


def t_interval(value: np.ndarray | float, *spreads: Spread, level: float = 0.95) -> np.ndarray:
    """Student's interval around `value`: ``[2, ...]``, NaN where a spread has no degrees of freedom.

    Several spreads (subjects and seeds) are added; their common degrees of freedom are Satterthwaite's.
    """
    value = np.asarray(value, np.float64)
    least = min(np.min(spread.df) for spread in spreads)
    if least < 1:
        return np.full((2, *value.shape), np.nan)
    total = np.sum([np.broadcast_to(spread.variance, value.shape) for spread in spreads], axis=0)
    shares = np.sum([np.broadcast_to(spread.variance**2 / spread.df, value.shape) for spread in spreads], axis=0)
    # without any variance the width is 0, whatever the degrees of freedom
    df = np.divide(np.square(total), shares, out=np.full(value.shape, float(least)), where=shares > 0)
    half = t.ppf((1 + level) / 2, df) * np.sqrt(total)
    return np.stack([value - half, value + half])


def resampled(value: np.ndarray, effects: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Values ``[resamples, ...]`` in resamples of subjects, to first order, with the spread that intervals have.

    Args:
        value: ``[...]``.
        effects: ``[subjects, ...]``.
        draws: how often each resample has each subject, ``[resamples, subjects]``.
    """
    return value + np.tensordot(draws - 1.0, effects, axes=1)


def draws(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of `n` is drawn in each resample: int ``[resamples, n]``, rows sum to n."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)


def percentiles(samples: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Percentile interval over the first axis, ``[2, ...]``: for ranks, which are whole numbers."""
    tail = (1 - level) / 2
    return np.quantile(samples, [tail, 1 - tail], axis=0)


def ranks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Ranks along the last axis, 1 is best; ties share their mean rank."""
    values = np.asarray(values, np.float64)
    return rankdata(-values if higher_is_better else values, axis=-1)


# -- tests -----------------------------------------------------------------------------------------------------------------
MIN_SUBJECTS = 8
"""A test of k subjects cannot have a p below 2 / 2^k. Holm's adjustment takes the least of six pairs (of four methods) six
times: with seven subjects that is 0.094, with eight 0.047."""

MOST_FLIPS = 2**15
"""Changes of sign that a test goes through: all there are up to 16 subjects, as many random ones above."""


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of a family of p-values."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def sign_flips(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of Fisher's randomisation test of paired differences, 1 where nothing differs.

    A subject's difference could as well have had the other sign if two methods were alike; p is the share of such worlds in
    which the sum is as far from 0. The sum is the difference of means over images, so that test, interval and table cannot
    disagree on who is better, as a test of ranks can.

    Args:
        differences: subjects' sums of differences over images, ``[subjects, pairs]``.
        seed: of the random changes of sign, where there are more than `MOST_FLIPS`.

    Returns:
        float64 ``[pairs]``.
    """
    differences = np.asarray(differences, np.float64)
    seen = np.abs(differences.sum(0))
    scale = np.abs(differences).sum(0)
    reached, count = np.zeros(differences.shape[1]), 0
    for signs in _signs(len(differences), seed):
        # rounding must not tell a world from the one that was seen
        reached += (np.abs(signs @ differences) >= seen - 1e-12 * scale).sum(0)
        count += len(signs)
    if len(differences) <= 16:
        return reached / count
    return (reached + 1) / (count + 1)


def _signs(n: int, seed: int, rows: int = 1024) -> Iterator[np.ndarray]:
    """Signs ``[rows, n]``: all that there are up to 16, but for the first, which changes no size; else random ones."""
    rng, total = np.random.default_rng(seed), min(2 ** (n - 1), MOST_FLIPS)
    for begin in range(0, total, rows):
        numbers = np.arange(begin, min(begin + rows, total))
        bits = (numbers[:, None] >> np.arange(min(n, 16))) & 1 if n <= 16 else rng.integers(0, 2, (len(numbers), n))
        yield 1.0 - 2.0 * bits
