"""Differences between the methods of a run, in each metric that the readable tables show."""

from __future__ import annotations

from typing import Any

from xmodbench.metrics.differences import compared
from xmodbench.metrics.own import metrics_of
from xmodbench.metrics.uncertainty import Measured
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.summary import Group, competes


def comparisons(plan: Plan, group: Group, measured: dict[Cell, Measured]) -> list[dict[str, Any]]:
    """A - B for all pairs of methods (no controls, nothing partial) of a group, in each metric of the readable tables.

    Returns:
        What `xmodbench.metrics.differences.compared` says of each pair, with data set, direction and metric.
    """
    rows: list[dict[str, Any]] = []
    for metric in metrics_of(plan).values():
        done = [each for each in measured.values() if competes(plan, each.item) and metric.id in each.numbers]
        if metric.headline and len(done) > 1:
            where = {"dataset": group.dataset, "source": group.source, "target": group.target, "metric": metric.id}
            rows += [where | row for row in compared(done, metric)]
    return rows
