"""All numbers of a cell with what they owe to subjects and to seeds: what intervals, differences and ranks are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from xmodbench.metrics import stats
from xmodbench.metrics.registry import Metric
from xmodbench.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd


class Scored(Protocol):
    """A cell with its scores: `xmodbench.report.collect.CellResult`, or what was read of a finished run otherwise."""

    @property
    def cell(self) -> Any:
        """Whose they are: its ``method`` names it in differences."""

    @property
    def image_scores(self) -> pd.DataFrame:
        """A row for each test slice: id, subject and the per-image metrics, of several seeds their mean."""

    @property
    def runs(self) -> Sequence[Scored]:
        """The same of each seed."""

    @property
    def distances(self) -> Mapping[str, Mapping[str, Any]]:
        """By metric of a direction, its ``value`` and those ``without`` each subject."""

    @property
    def volumes(self) -> Mapping[str, Mapping[str, float | None]]:
        """By subject, scores of the whole volume."""


Item = TypeVar("Item", bound=Scored)


@dataclass(frozen=True)
class Number:
    """One metric of one cell.

    Attributes:
        value: the mean over seeds of what each has; of scores of images, the mean over images.
        effects: what it owes to each subject, ``[subjects]``; None where that is not known.
        seeds: the values of the seeds, one or more.
    """

    value: float
    effects: np.ndarray | None
    seeds: tuple[float, ...]

    @property
    def spreads(self) -> list[stats.Spread]:
        """Its squared standard error by source: subjects, then seeds where there are several."""
        if self.effects is None:
            return []
        subjects = stats.between_subjects(self.effects)
        return [subjects, stats.between_seeds(np.array(self.seeds))] if len(self.seeds) > 1 else [subjects]

    @property
    def seed_sd(self) -> float | None:
        """Standard deviation between seeds; None of one, 0 where it is but rounding."""
        if len(self.seeds) < 2:
            return None
        found = float(np.std(self.seeds, ddof=1))
        return found if found > 1e-12 * abs(self.value) else 0.0

    def resample(self, draws: np.ndarray, seed: int) -> np.ndarray:
        """Values ``[resamples]`` in resamples of subjects, and of its own seeds; constant where its effects are unknown."""
        samples, resamples = np.full(len(draws), self.value), len(draws)
        if self.effects is not None:
            # a jackknife of many subjects leaves several out together
            fitting = draws if draws.shape[1] == len(self.effects) else stats.draws(len(self.effects), resamples, seed)
            samples = stats.resampled(samples, self.effects, fitting)
        if (n := len(self.seeds)) > 1:
            deviations = (np.array(self.seeds) - self.value) / np.sqrt(n * (n - 1))
            samples = stats.resampled(samples, deviations, stats.draws(n, resamples, seed + 1))
        return samples


@dataclass(frozen=True)
class Measured(Generic[Item]):
    """All numbers of a cell that has scores."""

    item: Item
    metrics: Mapping[str, Metric]  # of the run

    @cached_property
    def _columns(self) -> list[str]:
        there = set.intersection(*(set(run.image_scores.columns) for run in self.item.runs))
        return [name for name, metric in self.metrics.items() if metric.level == "image" and name in there]

    @cached_property
    def _scores(self) -> np.ndarray:
        """Scores of the images by seed, ``[seeds, images, metrics]``."""
        return np.stack([run.image_scores[self._columns].to_numpy(np.float64) for run in self.item.runs])

    @cached_property
    def _subjects(self) -> list[str]:
        return self.item.image_scores["subject"].tolist()

    @cached_property
    def _paired(self) -> dict[str, Number]:
        means, effects = stats.subject_effects(self._scores.mean(0), self._subjects)
        by_seed = self._scores.mean(1)
        return {
            name: Number(float(means[place]), effects[:, place], tuple(map(float, by_seed[:, place])))
            for place, name in enumerate(self._columns)
        }

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """By metric; distances that have no value are not among them."""
        of = {"direction": self._distance, "volume": self._volume}
        others = {name: of[metric.level](name) for name, metric in self.metrics.items() if metric.level in of}
        return self._paired | {name: number for name, number in others.items() if number is not None}

    def volumes(self, metric: str) -> np.ndarray:
        """Scores of the subjects' volumes by seed, ``[seeds, subjects]``, of subjects that have one with every seed."""
        runs = [run.volumes for run in self.item.runs]
        scored = [name for name in sorted(runs[0]) if all(run.get(name, {}).get(metric) is not None for run in runs)]
        return np.array([[run[name][metric] for name in scored] for run in runs], np.float64)

    def _volume(self, name: str) -> Number | None:
        scores = self.volumes(name)
        if not scores.size:
            return None
        # in the order of the names, each counting once
        order = [f"{place:09d}" for place in range(scores.shape[1])]
        mean, effects = stats.subject_effects(scores.mean(0)[:, None], order)
        return Number(float(mean[0]), effects[:, 0], tuple(map(float, scores.mean(1))))

    def _distance(self, name: str) -> Number | None:
        found = [run.distances[name] for run in self.item.runs]
        values = [entry["value"] for entry in found]
        if any(value is None for value in values):
            return None
        without = [entry.get("without") or [] for entry in found]
        known = len(without[0]) > 1 and len({len(each) for each in without}) == 1
        effects = stats.jackknife_effects(np.mean(without, axis=0)) if known else None
        return Number(float(np.mean(values)), effects, tuple(map(float, values)))

    def sums(self, metric: str) -> np.ndarray:
        """Sums over the images of each subject, ``[subjects]``, of the seeds' mean scores; of volumes, their scores."""
        if self.metrics[metric].level == "volume":
            return self.volumes(metric).mean(0)
        _, index = np.unique(np.asarray(self._subjects, dtype=str), return_inverse=True)
        return np.bincount(index, self._scores.mean(0)[:, self._columns.index(metric)])


def bounded(ends: np.ndarray, metric: Metric) -> np.ndarray:
    """The ends of intervals ``[2, ...]``, none of them where the metric cannot have values."""
    low, high = metric.bounds
    return np.clip(ends, low, high) if (low, high) != (None, None) else ends


def group_draws(key: str, measured: Sequence[Measured], resamples: int, seed: int) -> np.ndarray:
    """The resamples of subjects that all methods of a group share, ``[resamples, subjects]``."""
    subjects = len(set(measured[0].item.image_scores["subject"]))
    return stats.draws(subjects, resamples, derive_seed(seed, "bootstrap", key))
