"""Everything a report shows, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xmodbench.metrics.registry import Metric, family
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.by_hand import with_made_by_hand
from xmodbench.report.checks import Check, not_better_than_controls, run_checks
from xmodbench.report.collect import CellResult, collect
from xmodbench.report.fairness import fairness_checks, not_walled
from xmodbench.report.pairing import Found, doubtful, find_pairs, pairing_checks
from xmodbench.report.sanity import sanity_checks
from xmodbench.report.summary import Entry, Group, comparisons, groups, is_control, summarise


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

    @property
    def complete(self) -> int:
        """How many cells have scores."""
        return sum(item.complete for item in self.results)

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
    def entries(self) -> dict[str, list[Entry]]:
        """All numbers, by group."""
        return {group.key: summarise(self.plan, group) for group in self.groups}

    @cached_property
    def _by_cell(self) -> dict[tuple[Cell, str], Entry]:
        return {(entry.cell, entry.metric.id): entry for entries in self.entries.values() for entry in entries}

    def cell_entries(self, cell: Cell, metrics: Sequence[Metric]) -> list[Entry]:
        """A cell's numbers of some metrics."""
        return [self._by_cell[cell, metric.id] for metric in metrics]

    @cached_property
    def comparisons(self) -> list[dict[str, Any]]:
        """Paired tests within each group."""
        return [row for group in self.groups for row in comparisons(self.plan, group)]

    @cached_property
    def checks(self) -> list[Check]:
        """What the controls must show, what a fair method cannot show, and what pairs must be."""
        found = []
        for group in self.groups:
            found += [*run_checks(self.plan, group, self.entries[group.key]), *fairness_checks(self.plan, group)]
            found += [*sanity_checks(self.plan, group), *pairing_checks(group, self._pairs[group.dataset])]
        return found

    @cached_property
    def _pairs(self) -> dict[str, Found | None]:
        """How each data set's pairs fit, as its stores are now."""
        return {name: find_pairs(self.plan, name) for name in dict.fromkeys(group.dataset for group in self.groups)}

    def mispaired(self, group: Group) -> list[str]:
        """The subjects whose source and target may not belong together, with what is suspected."""
        return doubtful(group, self._pairs[group.dataset] or {})

    @cached_property
    def made_elsewhere(self) -> dict[str, str]:
        """Labels of methods that ran elsewhere, with the supervision that is declared of them."""
        names = dict.fromkeys(item.cell.method for item in self.results if self.plan.predictions(item.cell))
        return {self.plan.method_label(name): self.plan.supervision(name) for name in names}

    @cached_property
    def not_walled(self) -> list[str]:
        """Labels of the methods that no wall kept from the test targets."""
        return not_walled(self.plan, self.results)

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
    def mean_ranks(self) -> dict[str, dict[str, float | None]]:
        """Mean rank of each method over the paper's ranked columns that have values: by method, then group key."""
        metrics = [metric for metric in family("paper") if metric.ranked]
        table = {}
        for method in self.plan.methods:
            cells = {
                group.key: item.cell for group in self.groups for item in group.results if item.cell.method == method
            }
            if any(self.control(cell) for cell in cells.values()):
                continue
            ranks = {key: [e.rank for e in self.cell_entries(cell, metrics)] for key, cell in cells.items()}
            known = {key: [rank for rank in found if rank is not None] for key, found in ranks.items()}
            means = {key: sum(found) / len(found) if found else None for key, found in known.items()}
            table[method] = {group.key: means.get(group.key) for group in self.groups}
        return table

    def control(self, cell: Cell) -> bool:
        """Whether the cell's method is a control."""
        return is_control(self.plan, cell)
