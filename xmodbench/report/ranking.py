"""Who leads: mean ranks over the paper's columns, with intervals, and how often which place is taken in resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmodbench.metrics import stats
from xmodbench.metrics.registry import METRICS, Metric, family
from xmodbench.metrics.uncertainty import Measured
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.summary import Group, competes, resampled

COUNTED = tuple(metric for metric in family("paper") if metric.ranked and metric.id != "paper.mse")
"""MSE is left out: PSNR is a function of it, image by image, so that both would count one thing twice."""


@dataclass(frozen=True)
class MeanRank:
    """A method's mean rank in a direction, 1 is best.

    ``low`` to ``high``: 95 % of the resamples. ``places``: share of the resamples in which it takes the first, second ...
    place, ties shared among the places they fill; None where there is one subject.
    """

    value: float
    low: float | None = None
    high: float | None = None
    places: tuple[float, ...] | None = None


def mean_ranks(plan: Plan, group: Group, measured: dict[Cell, Measured]) -> dict[str, MeanRank]:
    """By method, those of a group that compete; none where fewer than two are left."""
    rivals = [each for each in measured.values() if competes(plan, each.item)]
    metrics = counted(rivals)
    if len(rivals) < 2:
        return {}
    found = np.mean([_ranks(np.array([each.numbers[m.id].value for each in rivals]), m) for m in metrics], axis=0)
    names = [each.item.cell.method for each in rivals]
    if rivals[0].item.image_scores["subject"].nunique() < 2:
        return {name: MeanRank(float(value)) for name, value in zip(names, found, strict=True)}
    samples = np.mean([_ranks(resampled(plan, group, rivals, m.id), m) for m in metrics], axis=0)
    low, high = stats.percentiles(samples)
    shares = _places(samples)
    return {
        name: MeanRank(float(found[i]), float(low[i]), float(high[i]), tuple(map(float, shares[i])))
        for i, name in enumerate(names)
    }


def counted(measured: list[Measured]) -> list[Metric]:
    """The columns that count: those in which all have a value."""
    return [metric for metric in COUNTED if all(metric.id in each.numbers for each in measured)]


def _ranks(values: np.ndarray, metric: Metric) -> np.ndarray:
    return stats.ranks(values, METRICS[metric.id].higher_is_better)


def _places(samples: np.ndarray) -> np.ndarray:
    """Shares ``[methods, places]`` of the resamples' mean ranks ``[resamples, methods]``; ties share places."""
    n = samples.shape[1]
    below = (samples[:, None, :] < samples[:, :, None] - 1e-9).sum(2)
    tied = (np.abs(samples[:, None, :] - samples[:, :, None]) <= 1e-9).sum(2)
    places = np.arange(n)
    taken = (places >= below[..., None]) & (places < (below + tied)[..., None])
    return (taken / tied[..., None]).mean(0)
