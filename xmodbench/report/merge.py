"""Runs of several machines or people in one report, where what they were scored on agrees; and why where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.plan.plan import Cell
from xmodbench.report.build import write_report
from xmodbench.report.collect import CellResult, collect, together
from xmodbench.report.merge_rules import Held, disagreement, no_replicate
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


class _Merging:
    """Replicates of cells so far, by the first run that has each, and the reasons why others were left out."""

    def __init__(self, runs: list[RunPlan], prefer: Path | None):
        self.runs, self.prefer = runs, prefer
        self.held: dict[Cell, dict[int | None, Held]] = {}  # by cell, then seed
        self.refused: dict[Cell, Held] = {}  # shown where no run has the cell
        self.firsts: dict[tuple[str, str], Held] = {}  # by data set and direction, what others have to agree with
        self.methods: dict[str, tuple[RunPlan, dict[str, Any]]] = {}
        self.left_out: list[str] = []

    def add(self, run: RunPlan) -> None:
        """Take a run's cells, as far as they agree with those of the runs before."""
        for item in collect(run):
            for each in item.every:
                self._add(Held(run, each))

    def _add(self, new: Held) -> None:
        item, seeds = new.item, self.held.setdefault(new.place, {})
        if not item.complete:
            seeds.setdefault(new.seed, new)
            if item.status == "failed":
                self._leave_out(new, str(item.reason))
            return
        reason = self._defined_otherwise(new) or self._disagreement(new) or self._no_replicate(new, seeds)
        if reason is None:
            self._take(new, seeds)
        else:
            self._leave_out(new, reason)
            self.refused.setdefault(new.place, replace(new, item=CellResult(item.cell, "failed", reason)))

    def _take(self, new: Held, seeds: dict[int | None, Held]) -> None:
        old = seeds.get(new.seed)
        if old is None or not old.item.complete:
            seeds[new.seed] = new
        elif _numbers(old) != _numbers(new):
            preferred = [held for held in (old, new) if self._is_preferred(held)]
            if not preferred:
                problem = f"{new.item.cell.name} has different numbers in {old.run.folder} and in {new.run.folder}"
                raise UserError(problem, "merge", "say with --prefer which run's are to be taken")
            seeds[new.seed] = preferred[0]
            other = new if preferred[0] is old else old
            self._leave_out(other, f"has other numbers than {self.prefer}, which is preferred")

    def _is_preferred(self, held: Held) -> bool:
        return self.prefer is not None and held.run.folder.resolve() == self.prefer.resolve()

    def _no_replicate(self, new: Held, seeds: dict[int | None, Held]) -> str | None:
        """Why it cannot stand beside replicates of other runs, or None. Of the preferred run it takes their place."""
        found = {seed: held for seed, held in seeds.items() if seed != new.seed and held.run is not new.run}
        apart = {seed: why for seed, held in found.items() if held.item.complete and (why := no_replicate(new, held))}
        if not apart or not self._is_preferred(new):
            return next(iter(apart.values()), None)
        for seed, why in apart.items():
            self._leave_out(seeds.pop(seed), f"not as {self.prefer} has it, which is preferred ({why})")
        return None

    def _leave_out(self, held: Held, reason: str) -> None:
        self.left_out.append(f"{held.item.cell.name} of {held.run.folder}: {reason}")

    def _disagreement(self, new: Held) -> str | None:
        cell = new.item.cell
        return disagreement(new, self.firsts.setdefault((cell.dataset, cell.direction), new))

    def _defined_otherwise(self, held: Held) -> str | None:
        """What a run means by a method, where a run before means something else by it."""
        name, definition = held.item.cell.method, held.run.definition(held.item.cell.method)
        run, known = self.methods.setdefault(name, (held.run, definition))
        if known == definition:
            return None
        return f"'{name}' is another method, or has other settings, than in {run.folder}; give it an id of its own"

    def report(self) -> Report:
        """All of it in one report."""
        shown = self._shown()
        plan = MergedPlan(self.runs, {cell: (held.run, held.item.cell) for cell, held in shown.items()})
        results = []
        for cell in plan.cells:
            if cell in shown:
                runs = [replace(shown[each].item, cell=each) for each in plan.replicates(cell)]
                results.append(runs[0] if len(runs) == 1 else together(plan, runs))
        incomplete = any(not item.complete for item in results)
        for name in dict.fromkeys(name for run in self.runs for name in run.config.scoring.metrics):
            if name not in plan.config.scoring.metrics:
                self.left_out.append(f"the metric '{name}': not all of the runs have it")
        folders = tuple(str(run.folder) for run in self.runs)
        return Report(plan, results, incomplete, merged_from=folders, left_out=tuple(self.left_out))

    def _shown(self) -> dict[Cell, Held]:
        """What the report has, by cells with the seeds that they have in it: the first run's own is the whole's."""
        found: dict[Cell, Held] = {}
        own = self.runs[0].config.seed
        for place, seeds in self.held.items():
            _, meant = self.methods.get(place.method, (None, None))
            kept = [each for each in seeds.values() if meant in (None, each.run.definition(place.method))]
            if place in self.refused and not any(each.item.complete for each in kept):
                kept = [self.refused[place]]
            for each in kept:
                found[replace(place, seed=None if each.seed == own else each.seed)] = each
        return found


def _numbers(held: Held) -> tuple[Any, Any]:
    """Hashes of scores and translations."""
    record = held.item.records.get("score", {})
    return record.get("scores_sha256"), record.get("translation_sha256")
