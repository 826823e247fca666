"""Runs of several machines or people in one report, where what they were scored on agrees; and why where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.plan.plan import Cell
from xmodbench.records import other_than
from xmodbench.report.build import write_report
from xmodbench.report.collect import CellResult, collect
from xmodbench.report.merged_plan import MergedPlan, RunPlan
from xmodbench.report.model import Report


def merge_runs(folders: list[Path], out: Path, prefer: Path | None = None) -> list[str]:
    """Write one report of several runs, and return what was left out of it and why, a line each.

    Args:
        folders: of the runs' results.
        out: folder of the report.
        prefer: the run whose numbers are taken where two have different ones for one cell.

    Raises:
        UserError: no run, one run twice, a folder that holds none, two runs with different numbers for one cell and none
            preferred, or nothing that agrees.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UserError("give two runs or more, each once", "merge", "name their results folders, such as results/demo")
    if prefer is not None and prefer.resolve() not in {folder.resolve() for folder in folders}:
        raise UserError("none of the runs that are merged", f"--prefer {prefer}", "name one of them")
    if any(out.resolve() == folder.resolve() for folder in folders):
        raise UserError("is one of the runs", f"--out {out}", "give the report a folder of its own")
    runs = [RunPlan.read(folder) for folder in folders]
    merging = _Merging(runs, prefer)
    for run in runs:
        merging.add(run)
    report = merging.report()
    if not report.complete:
        raise UserError(f"nothing to show: {'; '.join(merging.left_out[:3])}", "merge", "merge runs that agree")
    write_report(report, out)
    return list(report.left_out)


@dataclass(frozen=True)
class _Held:
    run: RunPlan
    item: CellResult


class _Merging:
    """Cells so far, by the first run that has each, and the reasons why others were left out."""

    def __init__(self, runs: list[RunPlan], prefer: Path | None):
        self.runs, self.prefer = runs, prefer
        self.held: dict[Cell, _Held] = {}  # by cell, whatever its seeds
        self.firsts: dict[tuple[str, str], _Held] = {}  # by data set and direction, what others have to agree with
        self.methods: dict[str, tuple[RunPlan, dict[str, Any]]] = {}
        self.left_out: list[str] = []

    def add(self, run: RunPlan) -> None:
        """Take a run's cells, as far as they agree with those of the runs before."""
        for item in collect(run):
            held = _Held(run, item)
            if not item.complete:
                self.held.setdefault(_place(item.cell), held)
                if item.status == "failed":
                    self._leave_out(held, str(item.reason))
                continue
            key = (item.cell.dataset, item.cell.direction)
            reason = self._defined_otherwise(held) or _disagreement(held, self.firsts.setdefault(key, held))
            if reason is not None:
                self._leave_out(held, reason)
                self.held.setdefault(_place(item.cell), _Held(run, CellResult(item.cell, "failed", reason)))
            else:
                self._take(held)

    def _take(self, new: _Held) -> None:
        cell = new.item.cell
        old = self.held.get(_place(cell))
        if old is None or not old.item.complete:
            self.held[_place(cell)] = new
        elif _numbers(old) != _numbers(new):
            preferred = [
                held for held in (old, new) if self.prefer and held.run.folder.resolve() == self.prefer.resolve()
            ]
            if not preferred:
                problem = f"{cell.name} has different numbers in {old.run.folder} and in {new.run.folder}"
                raise UserError(problem, "merge", "say with --prefer which run's are to be taken")
            self.held[_place(cell)] = preferred[0]
            other = new if preferred[0] is old else old
            self._leave_out(other, f"has other numbers than {self.prefer}, which is preferred")

    def _leave_out(self, held: _Held, reason: str) -> None:
        self.left_out.append(f"{held.item.cell.name} of {held.run.folder}: {reason}")

    def _defined_otherwise(self, held: _Held) -> str | None:
        """What a run means by a method, where a run before means something else by it."""
        name, definition = held.item.cell.method, held.run.definition(held.item.cell.method)
        run, known = self.methods.setdefault(name, (held.run, definition))
        if known == definition:
            return None
        return f"'{name}' is another method, or has other settings, than in {run.folder}; give it an id of its own"

    def report(self) -> Report:
        """All of it in one report."""
        homes = {cell: held.run for cell, held in self.held.items()}
        plan = MergedPlan(self.runs, homes)
        results = [self.held[_place(cell)].item for cell in plan.cells if _place(cell) in self.held]
        incomplete = any(not item.complete for item in results)
        for name in dict.fromkeys(name for run in self.runs for name in run.config.scoring.metrics):
            if name not in plan.config.scoring.metrics:
                self.left_out.append(f"the metric '{name}': not all of the runs have it")
        folders = tuple(str(run.folder) for run in self.runs)
        return Report(plan, results, incomplete, merged_from=folders, left_out=tuple(self.left_out))


def _place(cell: Cell) -> Cell:
    return replace(cell, seed=None)


def _numbers(held: _Held) -> list[tuple[Any, Any]]:
    """Hashes of a cell's scores and translations, by seed."""
    records = [run.records.get("score", {}) for run in held.item.every]
    return [(record.get("scores_sha256"), record.get("translation_sha256")) for record in records]


def _disagreement(new: _Held, first: _Held) -> str | None:
    """Why a cell cannot stand beside those of its direction, or None. (Scores of another protocol are not collected.)"""
    return next(_disagreements(new, first), None)


def _disagreements(new: _Held, first: _Held) -> Iterator[str]:
    ours, theirs = (held.item.records.get("score", {}) for held in (new, first))
    mine, known = (record.get("prepared") or {} for record in (ours, theirs))
    if (difference := other_than(mine, known)) is not None:
        yield f"prepared with {difference} as in {first.run.folder}"
    if mine.get("sha256") != known.get("sha256"):
        yield f"of other volumes, or of another split, than in {first.run.folder}"
    for name, hash_ in sorted((theirs.get("test_sha256") or {}).items()):
        if (found := (ours.get("test_sha256") or {}).get(name)) != hash_:
            yield f"scored on other {name} slices than in {first.run.folder} ({str(found)[:10]}, not {str(hash_)[:10]})"
    here, there = ((record.get("metrics_sha256") or {}) for record in (ours, theirs))
    for name in sorted(here.keys() & there.keys()):
        if here[name] != there[name]:
            yield f"scored with other code of the metric '{name}' than in {first.run.folder}"
