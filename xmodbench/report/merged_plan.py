"""The plan of a run as it lies in a folder, wherever that came from, and one plan for several such runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from xmodbench.plan.claim import claimed_config
from xmodbench.plan.config import BenchmarkConfig, parse_config
from xmodbench.plan.imported import trained_with
from xmodbench.plan.methods import Training
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.by_hand import entries_by_hand

MERGED = "--merge"
"""In place of a config's name: there is no file, and no command that would run it."""


class RunPlan(Plan):
    """The plan of one run.

    Args:
        config: of the run.
        folder: its results.
    """

    def __init__(self, config: BenchmarkConfig, folder: Path):
        self.folder, self.root = folder, _root(config, folder)
        super().__init__(config, str(folder))

    @classmethod
    def read(cls, folder: Path) -> RunPlan:
        """The plan of a results folder, with the predictions that were scored into it by hand.

        Raises:
            UserError: the folder holds no run, or plugins of it are not here.
        """
        plan = cls(claimed_config(folder), folder)
        if found := entries_by_hand(plan):
            config = plan.config.model_copy(update={"predictions": [*plan.config.predictions, *found]})
            plan = cls(config, folder)
        return plan

    @property
    def results(self) -> Path:
        """Where the folder lies now."""
        return self.folder

    def raw_dir(self, dataset: str) -> Path:
        """As the config says, from where the run worked."""
        return self.root / super().raw_dir(dataset)

    def data_dir(self, dataset: str) -> Path:
        """As the config says, from where the run worked; on another machine there may be none."""
        return self.root / super().data_dir(dataset)

    def definition(self, method: str) -> dict[str, Any]:
        """What is meant by a method's id: plugin and settings, or what is declared of predictions."""
        planned = self.methods[method]
        if planned.made_elsewhere:
            return {"made elsewhere": planned.supervision, "label": planned.label}
        entry = planned.entry.model_dump(include={"settings", "per_dataset", "model_of"})
        imported = next((trained_with(each.models) for each in planned.trainings.values() if each.models), None)
        return {"plugin": planned.plugin.id, "point": planned.point, "imported": imported, **entry}


class MergedPlan(Plan):
    """The plan of several runs: what the first says of a thing that several have, and all files where their run has them.

    Args:
        parts: the runs, in the order in which they count.
        homes: by cell, each replicate by its seed, the run that its files are of and what it is called there. The first
            run's seed is the whole's own.
    """

    def __init__(self, parts: list[RunPlan], homes: dict[Cell, tuple[RunPlan, Cell]]):
        self.parts, self.homes = parts, homes
        self.made: dict[Cell, list[Cell]] = {}
        for cell in homes:
            self.made.setdefault(replace(cell, seed=None), []).append(cell)
        super().__init__(union([run.config for run in parts]), MERGED)

    def seeds(self, method: str) -> list[int | None]:
        """Those that some run has used; else as in the first run that has the method."""
        used = dict.fromkeys(cell.seed for cells in self.made.values() for cell in cells if cell.method == method)
        of = next((part for part in self.parts if method in part.methods), None)
        return list(used) or (super().seeds(method) if of is None else of.seeds(method))

    def replicates(self, cell: Cell) -> list[Cell]:
        """Those that the runs have, all together."""
        return self.made.get(replace(cell, seed=None)) or super().replicates(cell)

    def data_dir(self, dataset: str) -> Path:
        """Stores of the first run that has them here."""
        places = [run.data_dir(dataset) for run in self.parts if dataset in run.config.datasets]
        return next((place for place in places if (place / "test" / "manifest.json").is_file()), places[0])

    def training(self, cell: Cell) -> Training | None:
        """As in the cell's run."""
        run, own = self._home(cell)
        return run.training(own)

    def model_dir(self, cell: Cell) -> Path | None:
        """As in the cell's run."""
        run, own = self._home(cell)
        return run.model_dir(own)

    def translation_dir(self, cell: Cell) -> Path:
        """As in the cell's run."""
        run, own = self._home(cell)
        return run.translation_dir(own)

    def scores_file(self, cell: Cell) -> Path:
        """As in the cell's run."""
        run, own = self._home(cell)
        return run.scores_file(own)

    def _home(self, cell: Cell) -> tuple[RunPlan, Cell]:
        return self.homes.get(cell, (self.parts[0], cell))


def union(configs: list[BenchmarkConfig]) -> BenchmarkConfig:
    """One config with the data sets, directions, methods and predictions of all; what two have is the first one's."""
    whole = configs[0].model_dump(mode="json")
    for other in (config.model_dump(mode="json") for config in configs[1:]):
        for name, entry in other["datasets"].items():
            known = whole["datasets"].setdefault(name, entry)
            both = (known["directions"], entry["directions"])
            known["directions"] = None if None in both else list(dict.fromkeys(both[0] + both[1]))
        said = {entry["id"]: _declared(entry) for entry in whole["predictions"]}
        taken = {*whole["methods"], *said}
        whole["methods"] |= {name: entry for name, entry in other["methods"].items() if name not in taken}
        cells = {_cell(entry) for entry in whole["predictions"]}
        whole["predictions"] += [
            entry
            for entry in other["predictions"]
            if _cell(entry) not in cells
            and entry["id"] not in whole["methods"]
            and said.get(entry["id"], _declared(entry)) == _declared(entry)
        ]
    own = [config.scoring.metrics for config in configs]
    whole["scoring"]["metrics"] = [name for name in own[0] if all(name in names for names in own)]
    titles = dict.fromkeys(config.report.title or config.run for config in configs)
    whole["report"]["title"] = " + ".join(titles)[:120]
    return parse_config(whole | {"run": "merged"}, MERGED)


def _declared(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["supervision"], entry["name"] or entry["id"]


def _cell(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["id"], entry["dataset"], entry["direction"]


def _root(config: BenchmarkConfig, folder: Path) -> Path:
    """The folder that a run worked in: that from which its config leads to its results; theirs, where they were moved."""
    ending = (Path(config.paths.results) / config.run).parts
    whole = folder.absolute()
    return Path(*whole.parts[: -len(ending)]) if whole.parts[-len(ending) :] == ending else whole
