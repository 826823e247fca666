"""From per-image scores to the numbers of the table: means, intervals, ranks and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from xmodbench.metrics import stats
from xmodbench.metrics.own import metrics_of, paired_of
from xmodbench.metrics.registry import Metric
from xmodbench.plan.plan import Cell, Plan
from xmodbench.plugins import Supervision
from xmodbench.report.collect import CellResult
from xmodbench.seeding import derive_seed


@dataclass(frozen=True)
class Entry:
    """One metric of one cell. ``value`` is None where there is none; ``reason`` says why, or what the value suffers from."""

    result: CellResult
    metric: Metric
    value: float | None = None
    low: float | None = None  # 95 % interval over subjects
    high: float | None = None
    floor: float | None = None  # of a distance: real test against real training slices
    reason: str | None = None
    rank: float | None = None  # among methods that are no controls, 1 is best
    rank_low: float | None = None
    rank_high: float | None = None
    best: bool = False

    @property
    def cell(self) -> Cell:
        """The cell it belongs to."""
        return self.result.cell

    @property
    def published(self) -> float | None:
        """The paper's number for the same column, to be shown in its own block only."""
        found = self.result.published
        return found.get(self.metric.published) if found and self.metric.published else None


@dataclass(frozen=True)
class Group:
    """A data set in one direction: the cells that can be compared with each other."""

    dataset: str
    source: str
    target: str
    results: list[CellResult]

    @property
    def key(self) -> str:
        """Name for anchors and files."""
        return f"{self.dataset}.{self.source}-to-{self.target}"


def groups(results: Iterable[CellResult]) -> list[Group]:
    """Results by data set and direction, in the plan's order."""
    by = groupby(results, key=lambda item: (item.cell.dataset, item.cell.source, item.cell.target))
    return [Group(*key, list(items)) for key, items in by]


def is_control(plan: Plan, cell: Cell) -> bool:
    """Whether the cell's method is a control, which is never ranked."""
    return plan.supervision(cell.method) is Supervision.CONTROL


def summarise(plan: Plan, group: Group) -> list[Entry]:
    """All metrics of all cells of a group, ranked; cells without scores have entries with their reason."""
    resamples = {item.cell: _resamples(plan, group, item) for item in group.results if item.complete}
    cells = [_entries(plan, item, resamples.get(item.cell)) for item in group.results]
    # by metric, and back again
    columns = [list(_ranked(plan, list(column), resamples)) for column in zip(*cells, strict=True)]
    return [entry for row in zip(*columns, strict=True) for entry in row]


def _resamples(plan: Plan, group: Group, item: CellResult) -> np.ndarray:
    """Means of the per-image metrics in each resample of subjects; the same resamples for all methods of a group."""
    seed = derive_seed(plan.config.seed, "bootstrap", group.key)
    values, subjects = item.image_scores[list(paired_of(plan))].to_numpy(), item.image_scores["subject"].tolist()
    return stats.resampled_means(values, subjects, plan.config.scoring.bootstrap, seed)


def _entries(plan: Plan, item: CellResult, resamples: np.ndarray | None) -> list[Entry]:
    if resamples is None:
        reason = f"failed: {item.reason}" if item.status == "failed" else item.reason
        return [Entry(item, metric, reason=reason) for metric in metrics_of(plan).values()]
    paired = paired_of(plan)
    means = item.image_scores[list(paired)].mean()
    bounds = stats.interval(resamples) if item.image_scores["subject"].nunique() > 1 else None
    entries = []
    for metric in metrics_of(plan).values():
        if metric.level == "image":
            place = paired.index(metric.id)
            low, high = (None, None) if bounds is None else map(float, bounds[:, place])
            entries.append(Entry(item, metric, float(means[metric.id]), low, high))
        else:
            found = item.distances[metric.id]
            entries.append(Entry(item, metric, found["value"], floor=found.get("floor"), reason=found.get("reason")))
    return entries


def _ranked(plan: Plan, entries: list[Entry], resamples: dict[Cell, np.ndarray]) -> Iterator[Entry]:
    """The entries of one metric, in their order, those that have rivals with their ranks among them."""
    rivals = [entry for entry in entries if entry.value is not None and not is_control(plan, entry.cell)]
    if len(rivals) < 2 or not entries[0].metric.ranked:
        yield from entries
        return
    better, places = entries[0].metric.higher_is_better, {entry.cell: place for place, entry in enumerate(rivals)}
    ranks = stats.ranks(np.array([entry.value for entry in rivals], np.float64), better)
    ends = None
    if rivals[0].low is not None:
        column = paired_of(plan).index(rivals[0].metric.id)
        shuffled = stats.ranks(np.stack([resamples[entry.cell][:, column] for entry in rivals], axis=1), better)
        ends = stats.interval(shuffled)
    for entry in entries:
        place = places.get(entry.cell)
        if place is None:
            yield entry
            continue
        entry = replace(entry, rank=float(ranks[place]), best=bool(ranks[place] == ranks.min()))
        if ends is not None:
            entry = replace(entry, rank_low=float(ends[0, place]), rank_high=float(ends[1, place]))
        yield entry


def comparisons(plan: Plan, group: Group) -> list[dict[str, Any]]:
    """Paired tests between all methods (no controls) of a group on subject means, for each ranked per-image metric of
    the readable tables; Holm's adjustment is over the pairs within one metric."""
    done = [item for item in group.results if item.complete and not is_control(plan, item.cell)]
    metrics = [m for m in metrics_of(plan).values() if m.level == "image" and m.ranked and m.headline]
    means = {item.cell.method: stats.subject_means(item.image_scores, paired_of(plan)) for item in done}
    rows = []
    for metric in metrics:
        tests = stats.paired_tests({name: frame[metric.id] for name, frame in means.items()})
        shared = {"dataset": group.dataset, "source": group.source, "target": group.target, "metric": metric.id}
        rows += [shared | test for test in tests]
    return rows
