"""A finished run, as the scripts here read it: its plan, the table of its report, and the scores of its cells."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.metrics.own import metrics_of
from xmodbench.metrics.registry import Metric
from xmodbench.metrics.uncertainty import Measured
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Cell, Plan
from xmodbench.plugins import Supervision

Pair = tuple[str, str]
"""Source and target."""


@dataclass(frozen=True)
class Scores:
    """A cell as it was scored; ``image_scores`` are means over its seeds, ``runs`` what each of them has."""

    cell: Cell
    image_scores: pd.DataFrame
    distances: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, float | None]]
    seeds: tuple[Scores, ...] = ()

    @property
    def runs(self) -> tuple[Scores, ...]:
        """By seed."""
        return self.seeds or (self,)


@dataclass(frozen=True)
class Estimate:
    """A value, or that of one method less that of another, with its 95 % interval; its ends are None where there is none."""

    value: float
    low: float | None
    high: float | None

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval leaves out 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, None if self.high is None else -self.high, None if self.low is None else -self.low)


@dataclass(frozen=True)
class Finished:
    """A run of one data set whose report was made.

    Args:
        results: its folder, with ``table.json`` and ``config.json``.

    Raises:
        UserError: the run is not finished, or has several data sets.
    """

    results: Path

    @cached_property
    def table(self) -> dict[str, Any]:
        """What the report says."""
        path = self.results / "table.json"
        if not path.is_file():
            raise UserError("no finished run here (table.json is missing)", self.results, "run its config first")
        table = read_json(path)
        if not table["complete"]:
            raise UserError(
                "the run is not finished", self.results, "run its config again, which goes on where it stopped"
            )
        return table

    @cached_property
    def plan(self) -> Plan:
        """The plan of its config, with paths as seen from here."""
        kept = read_json(self.results / "config.json")
        config = parse_config(kept["config"], kept["made_by"])
        # from the folder that the run was started in, which may be another one than this; whole paths stay as they are
        inside = Path(config.paths.results, config.run)
        above = Path() if inside.is_absolute() else self.results.absolute().parents[len(inside.parts) - 1]
        paths = {name: str(above / getattr(config.paths, name)) for name in ("raw", "data", "results", "work")}
        plan = Plan(config.model_copy(update={"paths": config.paths.model_copy(update=paths)}), kept["made_by"])
        if len(plan.datasets) > 1:
            raise UserError(f"has {len(plan.datasets)} data sets, one is wanted", self.results)
        return plan

    @property
    def dataset(self) -> str:
        """The data set's id."""
        return next(iter(self.plan.datasets))

    @property
    def pairs(self) -> list[Pair]:
        """Its directions."""
        return self.plan.directions[self.dataset]

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Cards of its metrics."""
        return metrics_of(self.plan)

    # -- what the report says ---------------------------------------------------------------------------------------
    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str], dict[str, Any]]:
        return {(row["source"], row["target"], row["method"], row["metric"]): row for row in self.table["rows"]}

    @cached_property
    def _comparisons(self) -> dict[tuple[str, str, str, str, str], dict[str, Any]]:
        return {
            (row["source"], row["target"], row["metric"], row["a"], row["b"]): row for row in self.table["comparisons"]
        }

    def row(self, pair: Pair, method: str, metric: str) -> dict[str, Any] | None:
        """A row of the report's table; None where there is no value."""
        row = self._rows.get((*pair, method, metric))
        return row if row is not None and row["mean"] is not None else None

    def value(self, pair: Pair, method: str, metric: str) -> Estimate | None:
        """A number of the report's with its interval."""
        row = self.row(pair, method, metric)
        return None if row is None else Estimate(row["mean"], row["ci_low"], row["ci_high"])

    def less(self, pair: Pair, method: str, other: str, metric: str) -> Estimate | None:
        """A method's number less another's, as the report has it (which compares no controls)."""
        if row := self._comparisons.get((*pair, metric, method, other)):
            return Estimate(row["difference"], row["low"], row["high"])
        row = self._comparisons.get((*pair, metric, other, method))
        return None if row is None else -Estimate(row["difference"], row["low"], row["high"])

    # -- scores -----------------------------------------------------------------------------------------------------
    def cells(self, pair: Pair) -> list[Cell]:
        """Of a direction, in the config's order."""
        return [cell for cell in self.plan.cells if (cell.source, cell.target) == pair]

    def controls(self, pair: Pair) -> Iterator[tuple[Cell, str]]:
        """Of a direction, with what they answer with."""
        for cell in self.cells(pair):
            if self.plan.supervision(cell.method) is Supervision.CONTROL:
                yield cell, self.plan.methods[cell.method].plugin.meta.get("answers", "")

    def competing(self, pair: Pair) -> list[Cell]:
        """Of a direction, those that are no controls."""
        controls = {cell for cell, _ in self.controls(pair)}
        return [cell for cell in self.cells(pair) if cell not in controls]

    def scores(self, cell: Cell) -> Scores:
        """What was scored of a cell, with each of its seeds."""
        runs = tuple(self._scores(each) for each in self.plan.replicates(cell))
        if len(runs) == 1:
            return runs[0]
        mean = runs[0].image_scores.copy()
        names = [name for name in mean if name in self.metrics and all(name in run.image_scores for run in runs)]
        mean[names] = sum(run.image_scores[names] for run in runs) / len(runs)
        return Scores(cell, mean, runs[0].distances, runs[0].volumes, runs)

    def _scores(self, cell: Cell) -> Scores:
        path = self.plan.scores_file(cell)
        beside = read_json(path.with_suffix(".json"))
        frame = pd.read_csv(path, dtype={"id": str, "subject": str, "site": str}, keep_default_na=False)
        return Scores(cell, frame, beside["distances"], beside.get("volumes", {}))

    def measured(self, cell: Cell) -> Measured[Scores]:
        """Its numbers, made as the report makes them."""
        return Measured(self.scores(cell), self.metrics)
