"""What intervals called 95 % cover at the subjects there are, by simulation: the table of docs/evaluation.md.

    python benchmarks/interval_coverage.py

Scores are drawn whose true mean is known (half of their variance between subjects, half between a subject's images), and
the intervals of `xmodbench.metrics.stats` are counted that hold it, beside the percentile bootstrap of whole subjects.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product

import numpy as np
from common import table

from xmodbench.metrics import stats
from xmodbench.metrics.distribution import frechet_distance
from xmodbench.metrics.published import difference

SUBJECTS = (2, 4, 5, 25)
COUNTS = {
    "equal": lambda k: np.full(k, 10),
    "unequal": lambda k: np.linspace(8, 16, k).round().astype(int),  # twice as many images of the last as of the first
    "one half": lambda k: np.array([4] * (k - 1) + [4 * (k - 1)]),  # one subject has half of all images
}
RESAMPLES = 1000


def subject_means(rng: np.random.Generator, shape: tuple[int, ...], law: str) -> np.ndarray:
    """Deviations of subjects with mean 0 and variance 1/2, ``normal`` or ``skewed`` (log-normal, skewness 3)."""
    if law == "normal":
        return np.sqrt(0.5) * rng.standard_normal(shape)
    drawn = np.exp(0.71 * rng.standard_normal(shape))
    mean, variance = np.exp(0.71**2 / 2), (np.exp(0.71**2) - 1) * np.exp(0.71**2)
    return np.sqrt(0.5 / variance) * (drawn - mean)


def scores(rng: np.random.Generator, counts: np.ndarray, law: str, repeats: int) -> tuple[np.ndarray, list[str]]:
    """Scores ``[images, repeats]`` with true mean 0, and the images' subjects."""
    index = np.repeat(np.arange(len(counts)), counts)
    effects = subject_means(rng, (len(counts), repeats), law)[index]
    return effects + np.sqrt(0.5) * rng.standard_normal(effects.shape), [f"{number:03d}" for number in index]


def percentile(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The interval that is not used: percentiles of the means of resampled subjects, ``[2, repeats]``."""
    sums = np.add.reduceat(values, np.r_[0, np.cumsum(counts)[:-1]], axis=0)
    drawn = stats.draws(len(counts), RESAMPLES, seed=0)
    return stats.percentiles((drawn @ sums) / (drawn @ counts)[:, None])


def held(ends: np.ndarray, truth: float = 0.0) -> float:
    """Per cent of the intervals ``[2, repeats]`` that hold the truth."""
    return float(100 * np.mean((ends[0] <= truth) & (truth <= ends[1])))


def of_means(repeats: int, seed: int = 0) -> Iterator[tuple[int, str, str, float, float]]:
    """Subjects, their images, the law; per cent held by the percentile bootstrap and by Student's interval."""
    rng = np.random.default_rng(seed)
    for k, (name, counts_of), law in product(SUBJECTS, COUNTS.items(), ("normal", "skewed")):
        values, subjects = scores(rng, counts_of(k), law, repeats)
        means, effects = stats.subject_effects(values, subjects)
        interval = stats.t_interval(means, stats.between_subjects(effects))
        yield k, name, law, held(percentile(values, counts_of(k))), held(interval)


def of_seeds(repeats: int, n_seeds: int = 3, seed: int = 1) -> Iterator[tuple[int, float, float, float]]:
    """Subjects, seeds' standard deviation (subjects': 0.7); per cent held by intervals over subjects alone, and mixed."""
    rng = np.random.default_rng(seed)
    for k, sd in product((4, 5, 25), (0.1, 0.3)):
        by_seed = []
        base, subjects = scores(rng, COUNTS["unequal"](k), "normal", repeats)
        for offset in sd * rng.standard_normal((n_seeds, repeats)):
            by_seed.append(base + offset + 0.3 * rng.standard_normal(base.shape))
        means, effects = stats.subject_effects(np.mean(by_seed, axis=0), subjects)
        spreads = (stats.between_subjects(effects), stats.between_seeds(np.mean(by_seed, axis=1)))
        yield k, sd, held(stats.t_interval(means, spreads[0])), held(stats.t_interval(means, *spreads))


def of_distances(repeats: int, seed: int = 2) -> Iterator[tuple[int, float]]:
    """Subjects; per cent of jackknife intervals that hold the expected Fréchet distance at that number of images."""
    rng = np.random.default_rng(seed)
    for k in SUBJECTS[1:]:
        values, ends = [], []
        index = np.repeat(np.arange(k), 10)
        for _ in range(repeats):
            real = rng.standard_normal((k, 6))[index] + rng.standard_normal((10 * k, 6))
            made = 0.6 * real + 0.5 + 0.7 * rng.standard_normal((k, 6))[index] + rng.standard_normal(real.shape)
            value = frechet_distance(made, real)
            without = np.array([frechet_distance(made[index != i], real[index != i]) for i in range(k)])
            values.append(value)
            ends.append(stats.t_interval(value, stats.between_subjects(stats.jackknife_effects(without))))
        yield k, held(np.array(ends).T, float(np.mean(values)))


def of_published(repeats: int, seed: int = 3) -> Iterator[tuple[int, float, float]]:
    """Subjects; per cent of right reproductions whose interval lacks the published mean, and whose difference lacks 0."""
    rng = np.random.default_rng(seed)
    for k in SUBJECTS[1:]:
        counts = COUNTS["unequal"](k)
        (ours, subjects), (theirs, _) = (scores(rng, counts, "normal", repeats) for _ in range(2))
        published = theirs.mean(0).round(2)
        means, effects = stats.subject_effects(ours, subjects)
        naive = stats.t_interval(means, stats.between_subjects(effects)) - published
        printed, each = [f"{number:.2f}" for number in published], [stats.between_subjects(row) for row in effects.T]
        fair = [difference(m, [s], 1, p, k) for m, s, p in zip(means, each, printed, strict=True)]
        yield k, 100 - held(percentile(ours, counts) - published), 100 - held(naive), 100 - held(np.array(fair).T[1:])


def main() -> None:
    """Print all tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10_000, help="simulated runs of each row")
    repeats = parser.parse_args().repeats

    def show(header, rows):
        shown = [[f"{item:.1f}" if isinstance(item, float) else str(item) for item in row] for row in rows]
        print(table(header, shown), end="\n\n")

    show(("subjects", "images", "scores", "percentile bootstrap, %", "t interval, %"), of_means(repeats))
    show(("subjects", "sd of seeds", "over subjects, %", "mixed, %"), of_seeds(repeats))
    show(("subjects", "jackknife of a Fréchet distance, %"), of_distances(max(100, repeats // 20)))
    header = ("subjects", "outside the percentile interval, %", "outside the t interval, %", "difference without 0, %")
    show(header, of_published(repeats))


if __name__ == "__main__":
    main()
