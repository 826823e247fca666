"""Everything a report shows, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xmodbench.metrics.own import metrics_of
from xmodbench.metrics.registry import Metric
from xmodbench.metrics.uncertainty import Measured
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.by_hand import with_made_by_hand
from xmodbench.report.checks import Check, not_better_than_controls, run_checks
from xmodbench.report.collect import CellResult, collect
from xmodbench.report.differences import comparisons
from xmodbench.report.fairness import fairness_checks, not_walled
from xmodbench.report.pairing import Found, doubtful, find_pairs, pairing_checks
from xmodbench.report.published import Beside, beside
from xmodbench.report.ranking import MeanRank, counted, mean_ranks
from xmodbench.report.sanity import sanity_checks
from xmodbench.report.summary import Entry, Group, competes, groups, is_control, measure, summarise


@dataclass(frozen=True)
class Report:
    """The state of a run, with all that is derived from it."""

    plan: Plan
    results: list[CellResult]
    partial: bool
    merged_from: tuple[str, ...] = ()  # the runs that were put together in it
    left_out: tuple[str, ...] = ()  # what of them was not, and why

    @classmethod
    def read(cls, plan: Plan, partial: bool) -> Report:
        """Read what the run has produced."""
        plan = with_made_by_hand(plan)
        return cls(plan, collect(plan), partial)

    @property
    def title(self) -> str:
        """The report's title."""
        return self.plan.config.report.title or self.plan.config.run

    @cached_property
    def runs(self) -> list[CellResult]:
        """What was to be made: cells, each seed of them by itself."""
        return [run for item in self.results for run in item.every]

    @property
    def complete(self) -> int:
        """How many of these have scores."""
        return sum(run.complete for run in self.runs)

    @property
    def simulated(self) -> list[str]:
        """Labels of the simulated data sets in it."""
        names = dict.fromkeys(item.cell.dataset for item in self.results)
        return [self.plan.dataset_label(name) for name in names if self.plan.simulated(name)]

    @cached_property
    def groups(self) -> list[Group]:
        """Data sets and directions, in the plan's order."""
        return groups(self.results)

    @cached_property
    def measured(self) -> dict[str, dict[Cell, Measured]]:
        """What numbers owe to subjects and seeds: by group, then cell."""
        return {group.key: measure(self.plan, group) for group in self.groups}

    @cached_property
    def entries(self) -> dict[str, list[Entry]]:
        """All numbers, by group."""
        return {group.key: summarise(self.plan, group, self.measured[group.key]) for group in self.groups}

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of the report by id: those that some direction has."""
        there = {entry.metric.id for entries in self.entries.values() for entry in entries}
        return {name: metric for name, metric in metrics_of(self.plan).items() if name in there}

    @cached_property
    def _by_cell(self) -> dict[tuple[Cell, str], Entry]:
        return {(entry.cell, entry.metric.id): entry for entries in self.entries.values() for entry in entries}

    @cached_property
    def _items(self) -> dict[Cell, CellResult]:
        return {item.cell: item for item in self.results}

    def cell_entries(self, cell: Cell, metrics: Sequence[Metric]) -> list[Entry]:
        """A cell's numbers of some metrics; without a value where the direction has no such metric."""
        return [self._by_cell.get((cell, metric.id)) or Entry(self._items[cell], metric) for metric in metrics]

    @cached_property
    def comparisons(self) -> list[dict[str, Any]]:
        """Differences between methods within each group."""
        return [row for group in self.groups for row in comparisons(self.plan, group, self.measured[group.key])]

    @cached_property
    def checks(self) -> list[Check]:
        """What the controls must show, what a fair method cannot show, and what pairs must be."""
        found = []
        for group in self.groups:
            found += [*run_checks(self.plan, group, self.entries[group.key]), *fairness_checks(self.plan, group)]
            found += [*sanity_checks(self.plan, group), *pairing_checks(group, self.pairs[group.dataset])]
        return found

    @cached_property
    def pairs(self) -> dict[str, Found | None]:
        """How each data set's pairs fit, as its stores are now."""
        return {name: find_pairs(self.plan, name) for name in dict.fromkeys(group.dataset for group in self.groups)}

    def mispaired(self, group: Group) -> list[str]:
        """The subjects whose source and target may not belong together, with what is suspected."""
        return doubtful(group, self.pairs[group.dataset] or {})

    @cached_property
    def made_elsewhere(self) -> dict[str, str]:
        """Labels of methods that ran elsewhere, with the supervision that is declared of them."""
        names = dict.fromkeys(item.cell.method for item in self.results if self.plan.predictions(item.cell))
        return {self.plan.method_label(name): self.plan.supervision(name) for name in names}

    @cached_property
    def not_walled(self) -> list[str]:
        """Labels of the methods that no wall kept from the test targets."""
        return not_walled(self.plan, self.runs)

    @cached_property
    def unskilled(self) -> dict[tuple[Cell, str], list[Metric]]:
        """By cell and control without skill: the metrics in which the control is at least as good."""
        found: dict[tuple[Cell, str], list[Metric]] = {}
        for entries in self.entries.values():
            for entry, controls in not_better_than_controls(self.plan, entries):
                for control in controls:
                    found.setdefault((entry.cell, control), []).append(entry.metric)
        return found

    @cached_property
    def mean_ranks(self) -> dict[str, dict[str, MeanRank]]:
        """Mean ranks over the paper's columns: by group, then method."""
        return {group.key: mean_ranks(self.plan, group, self.measured[group.key]) for group in self.groups}

    @cached_property
    def beside(self) -> dict[str, list[Beside]]:
        """The paper's numbers beside ours, by group."""
        of = {group.key: (self.entries[group.key], self.measured[group.key]) for group in self.groups}
        return {key: beside(self.plan, *numbers) for key, numbers in of.items()}

    def counted(self, group: Group) -> list[Metric]:
        """The columns that a group's mean ranks are taken over."""
        return counted([each for each in self.measured[group.key].values() if competes(self.plan, each.item)])

    def control(self, cell: Cell) -> bool:
        """Whether the cell's method is a control."""
        return is_control(self.plan, cell)
