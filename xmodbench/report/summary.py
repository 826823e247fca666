"""From per-image scores to the numbers of the table: means, intervals and ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from xmodbench.metrics import stats
from xmodbench.metrics.field.cards import FIELD, VOLUME
from xmodbench.metrics.own import metrics_of
from xmodbench.metrics.registry import Metric
from xmodbench.metrics.uncertainty import Measured, bounded, group_draws
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
    low: float | None = None  # 95 % interval over subjects, and over seeds where there are several
    high: float | None = None
    subject_low: float | None = None  # of subjects alone
    subject_high: float | None = None
    seeds: tuple[float, ...] = ()  # what each seed has
    seed_sd: float | None = None  # standard deviation between them
    real_to_real: float | None = None  # of a distance: between real test and real training slices
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
    def published(self) -> str | None:
        """The paper's number for the same column, as printed, to be shown in its own block only."""
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


def competes(plan: Plan, item: CellResult) -> bool:
    """Whether a cell is compared with others: its method is no control, and all test slices are scored."""
    return not is_control(plan, item.cell) and not item.partial


def measure(plan: Plan, group: Group) -> dict[Cell, Measured]:
    """The numbers of the cells of a group that have scores."""
    return {item.cell: Measured(item, metrics_of(plan)) for item in group.results if item.complete}


def summarise(plan: Plan, group: Group, measured: dict[Cell, Measured]) -> list[Entry]:
    """All metrics of all cells of a group, ranked; cells without scores have entries with their reason."""
    metrics = metrics_there(plan, group, measured)
    cells = [_entries(metrics, item, measured.get(item.cell)) for item in group.results]
    # by metric, and back again
    columns = [list(_ranked(plan, group, list(column), measured)) for column in zip(*cells, strict=True)]
    return [entry for row in zip(*columns, strict=True) for entry in row]


def metrics_there(plan: Plan, group: Group, measured: dict[Cell, Measured]) -> list[Metric]:
    """A group's metrics: all that are always scored, and those of the field that its data have or that say why not."""
    there = {name for each in measured.values() for name in (*each.numbers, *each.item.absent)}
    return [
        metric for metric in metrics_of(plan).values() if metric.family not in (FIELD, VOLUME) or metric.id in there
    ]


def _entries(metrics: list[Metric], item: CellResult, measured: Measured | None) -> list[Entry]:
    if measured is None:
        reason = f"failed: {item.reason}" if item.status == "failed" else item.reason
        return [Entry(item, metric, reason=reason) for metric in metrics]
    return [_entry(item, metric, measured) for metric in metrics]


def _entry(item: CellResult, metric: Metric, measured: Measured) -> Entry:
    found = item.distances.get(metric.id, {})
    number, real, reason = measured.numbers.get(metric.id), found.get("real_to_real"), found.get("reason")
    reason = reason or item.absent.get(metric.id)
    if number is None:
        return Entry(item, metric, real_to_real=real, reason=reason)
    entry = Entry(item, metric, number.value, real_to_real=real, reason=reason)
    entry = replace(entry, seeds=number.seeds, seed_sd=number.seed_sd)
    if not number.spreads or number.spreads[0].df < 1:
        return entry
    low, high = map(float, bounded(stats.t_interval(number.value, *number.spreads), metric))
    one, other = map(float, bounded(stats.t_interval(number.value, number.spreads[0]), metric))
    return replace(entry, low=low, high=high, subject_low=one, subject_high=other)


def _ranked(plan: Plan, group: Group, entries: list[Entry], measured: dict[Cell, Measured]) -> Iterator[Entry]:
    """The entries of one metric, in their order, those that have rivals with their ranks among them."""
    rivals = [entry for entry in entries if entry.value is not None and competes(plan, entry.result)]
    metric = entries[0].metric
    if len(rivals) < 2 or not metric.ranked:
        yield from entries
        return
    places = {entry.cell: place for place, entry in enumerate(rivals)}
    ranks = stats.ranks(np.array([entry.value for entry in rivals], np.float64), metric.higher_is_better)
    ends = None
    if all(entry.low is not None for entry in rivals):
        samples = resampled(plan, group, [measured[entry.cell] for entry in rivals], metric.id)
        ends = stats.percentiles(stats.ranks(samples, metric.higher_is_better))
    for entry in entries:
        place = places.get(entry.cell)
        if place is None:
            yield entry
            continue
        entry = replace(entry, rank=float(ranks[place]), best=bool(ranks[place] == ranks.min()))
        if ends is not None:
            entry = replace(entry, rank_low=float(ends[0, place]), rank_high=float(ends[1, place]))
        yield entry


def resampled(plan: Plan, group: Group, measured: list[Measured], metric: str) -> np.ndarray:
    """Values ``[resamples, cells]`` of a metric in resamples of the subjects that the cells share."""
    draws = group_draws(group.key, measured, plan.config.scoring.bootstrap, plan.config.seed)
    own = [derive_seed(plan.config.seed, "seeds", each.item.cell.method, metric) for each in measured]
    columns = [each.numbers[metric].resample(draws, seed) for each, seed in zip(measured, own, strict=True)]
    return np.stack(columns, axis=1)
