"""The plan of a run: which jobs a config asks for, where their files are, and what decides their results.

The Snakefile and the report are both written against this module; it imports no torch and reads no volumes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from xmodbench.data.exported import ExportedModel
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError, did_you_mean
from xmodbench.files import sha256_json
from xmodbench.plan.config import BenchmarkConfig, PredictionsEntry
from xmodbench.plan.elsewhere import planned_predictions
from xmodbench.plan.methods import PlannedMethod, Training, planned_methods, replicate_name
from xmodbench.plugins import DATASETS, METHODS, METRICS, Dataset, ImageMetric, Kind, Plugin, available, find
from xmodbench.plugins.discovery import P, locate
from xmodbench.plugins.environment import OwnEnvironment, environment_of
from xmodbench.plugins.settings import Settings, validated


@dataclass(frozen=True)
class Cell:
    """One cell of the benchmark: a method translating one data set in one direction; or its replicate with another seed."""

    method: str
    dataset: str
    source: str
    target: str
    seed: int | None = None  # None: the run's own

    @property
    def direction(self) -> str:
        """``<source>-to-<target>``, as in paths."""
        return f"{self.source}-to-{self.target}"

    @property
    def name(self) -> str:
        """File-name stem of the cell's scores."""
        return f"{self.replicate}.{self.dataset}.{self.direction}"

    @property
    def replicate(self) -> str:
        """The method's name in paths, with the seed where it is not the run's own."""
        return replicate_name(self.method, self.seed)


class Plan:
    """All of a run's cells, paths and parameters.

    Args:
        config: a checked config.
        where: the config file's name, for messages.

    Raises:
        UserError: an unknown plugin, a setting its plugin refuses, a direction its data set does not have.
    """

    def __init__(self, config: BenchmarkConfig, where: str):
        self.config, self.where = config, where
        self.dataset_plugins = {
            key: self._plugin(DATASETS, "datasets", key, entry.plugin) for key, entry in config.datasets.items()
        }
        entries = {key: self._plugin(METHODS, "methods", key, entry.plugin) for key, entry in config.methods.items()}
        self.metric_plugins: list[Plugin[ImageMetric]] = [
            self._plugin(METRICS, "scoring.metrics", name, None) for name in config.scoring.metrics
        ]
        self.datasets: dict[str, Dataset] = {
            key: plugin.cls(self._dataset_settings(key, plugin)) for key, plugin in self.dataset_plugins.items()
        }
        self.directions = {key: self._directions(key) for key in config.datasets}
        sizes = {key: getattr(dataset.settings, "image_size", None) for key, dataset in self.datasets.items()}
        self.methods: dict[str, PlannedMethod] = planned_methods(config, entries, self.directions, sizes, where)
        self.methods |= planned_predictions(config.predictions, self.methods, self.directions, where)

    def _plugin(self, kind: Kind[P], part: str, key: str, plugin_id: str | None) -> Plugin[P]:
        name = plugin_id or key
        if name not in available(kind):
            known = available(kind)
            hint = did_you_mean(name, known) or f"known: {', '.join(known) or 'none'}"
            place = f"{part}.{key}" + (".plugin" if plugin_id else "")
            raise UserError(f"unknown {kind.name}; {hint} ({self.where})", place)
        return find(kind, name)

    def _dataset_settings(self, key: str, plugin: Plugin[Dataset]) -> Settings:
        values = self.config.datasets[key].settings
        return validated(plugin.cls.Config, values, self.where, prefix=f"datasets.{key}.settings")

    def _directions(self, dataset: str) -> list[tuple[str, str]]:
        modalities = self.datasets[dataset].modalities()
        asked = self.config.datasets[dataset].directions
        if asked is None:
            return [(a, b) for a in modalities for b in modalities if a != b]
        place = f"datasets.{dataset}.directions"
        pairs = [(source, target) for source, target in (direction.split("->") for direction in asked)]
        known: dict[tuple[frozenset[str], str], str] = {}
        for direction, (source, target) in zip(asked, pairs, strict=True):
            names = modalities_of(source)
            unknown = [name for name in (*names, target) if name not in modalities]
            if unknown:
                have = f"the data set has {', '.join(modalities)} ({self.where})"
                raise UserError(f"'{direction}' asks for unknown modality '{unknown[0]}'; {have}", place)
            if target in names:
                raise UserError(f"'{direction}' translates a modality to itself ({self.where})", place)
            if len(set(names)) < len(names):
                raise UserError(f"'{direction}' names a source twice ({self.where})", place)
            same = known.setdefault((frozenset(names), target), direction)
            if same != direction:
                raise UserError(
                    f"'{direction}' and '{same}' are the same sources ({self.where})", place, "leave one out"
                )
        return list(dict.fromkeys(pairs))

    # -- cells ------------------------------------------------------------------------------------------------------
    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, by data set, direction and method in the config's order; of replicates the first."""
        return [
            self.replicates(Cell(name, dataset, source, target))[0]
            for dataset, pairs in self.directions.items()
            for source, target in pairs
            for name, method in self.methods.items()
            if method.translates(dataset, source, target)
        ]

    @cached_property
    def left_out(self) -> dict[str, list[tuple[str, str]]]:
        """By method that runs here, data sets with directions (``t1+t2->pd``) whose sources are not of its number."""
        return {
            name: found
            for name, method in self.methods.items()
            if not method.made_elsewhere
            and (
                found := [
                    (dataset, f"{source}->{target}")
                    for dataset, pairs in self.directions.items()
                    for source, target in pairs
                    if not method.translates(dataset, source, target)
                ]
            )
        }

    def seeds(self, method: str) -> list[int | None]:
        """Seeds that a method is trained and translates with; None is the run's own.

        Without chance there is but that; with an exported model as well, which is of one seed.
        """
        wanted = self.methods[method].entry.seeds or self.config.seeds
        if wanted is None or not self.replicable(method):
            return [None]
        return [None if seed == self.config.seed else seed for seed in wanted]

    def replicable(self, method: str) -> bool:
        """Whether another seed makes another replicate: there is chance in it, and its models are not given."""
        planned = self.methods[method]
        imported = any(training.models for training in planned.trainings.values())
        return not planned.deterministic and not imported

    @cached_property
    def all_seeds(self) -> list[int]:
        """Every seed that something with chance in it is trained or translated with: one or more."""
        chance = [cell for cell in self.runs if not self.methods[cell.method].deterministic]
        return list(dict.fromkeys(map(self.seed_of, chance))) or [self.config.seed]

    def replicates(self, cell: Cell) -> list[Cell]:
        """A cell with each of its seeds."""
        return [replace(cell, seed=seed) for seed in self.seeds(cell.method)]

    @cached_property
    def runs(self) -> list[Cell]:
        """All cells with all their seeds: what is translated and scored."""
        return [each for cell in self.cells for each in self.replicates(cell)]

    def run_label(self, cell: Cell) -> str:
        """The method's name in tables, with the seed where there are several."""
        several = len(self.replicates(cell)) > 1
        return self.method_label(cell.method) + (f", seed {self.seed_of(cell)}" if several else "")

    def seed_of(self, made: Cell | Training) -> int:
        """The seed a cell or training is made with."""
        return self.config.seed if made.seed is None else made.seed

    def supervision(self, method: str) -> str:
        """What the method may see; of predictions made elsewhere, what their authors declare."""
        return self.methods[method].supervision

    def predictions(self, cell: Cell) -> PredictionsEntry | None:
        """The predictions made elsewhere that stand for a cell; None for methods that run here."""
        return self.methods[cell.method].made_elsewhere.get((cell.dataset, cell.source, cell.target))

    def method_label(self, method: str) -> str:
        """The method's name in tables."""
        return self.methods[method].label

    def training(self, cell: Cell) -> Training | None:
        """The training whose models translate a cell; None for controls that need none."""
        training = self.methods[cell.method].trainings.get(cell.dataset)
        return training and training.at(cell.seed)

    def exported(self, cell: Cell) -> ExportedModel | None:
        """The exported model that translates a cell in the place of one that is trained; None where it is trained."""
        training = self.training(cell)
        return training.models[self.model_name(cell)] if training and training.models else None

    @cached_property
    def trainings(self) -> dict[tuple[str, str], Training]:
        """All trainings, by data set and name."""
        return {
            (dataset, training.at(seed).name): training.at(seed)
            for name, method in self.methods.items()
            for dataset, training in method.trainings.items()
            for seed in self.seeds(name)
        }

    @cached_property
    def pretrainings(self) -> dict[tuple[str, str], Training]:
        """First phases of trainings in two, by data set and name."""
        return {
            (dataset, training.pretraining.name): training.pretraining
            for (dataset, _), training in self.trainings.items()
            if training.pretraining
        }

    def dataset_label(self, dataset: str) -> str:
        """The data set's name in tables."""
        return self.dataset_plugins[dataset].label if dataset == self.dataset_plugins[dataset].id else dataset

    def simulated(self, dataset: str) -> bool:
        """Whether the data set is a stand-in whose numbers must never pose as real ones."""
        return self.datasets[dataset].simulated

    @cached_property
    def environments(self) -> dict[str, OwnEnvironment]:
        """Environments of their own that methods of this run, or what trains their models, ask for; by plugin."""
        plugins = [method.plugin for method in self.methods.values() if not method.made_elsewhere]
        plugins += [training.plugin for training in self.trainings.values()]
        found = {plugin.id: environment_of(locate(METHODS, plugin.id)) for plugin in plugins}
        return {name: wanted for name, wanted in found.items() if wanted is not None}

    # -- paths ------------------------------------------------------------------------------------------------------
    @property
    def results(self) -> Path:
        """Folder of the run's outputs."""
        return Path(self.config.paths.results) / self.config.run

    def raw_dir(self, dataset: str) -> Path:
        """Folder of the raw volumes."""
        return Path(self.config.datasets[dataset].raw or Path(self.config.paths.raw) / dataset)

    def data_dir(self, dataset: str) -> Path:
        """Folder of the slice stores ``train`` and ``test``."""
        return Path(self.config.paths.data) / dataset

    def model_name(self, cell: Cell) -> str:
        """Folder name of the cell's model: it holds the source only where training needs the source."""
        training = self.training(cell)
        needs_source = training is not None and training.plugin.cls.supervision.needs_source
        return f"{cell.target}-from-{cell.source}" if needs_source else cell.target

    def model_dir(self, cell: Cell) -> Path | None:
        """Folder of the cell's model; one zero-shot model per target serves all sources, and all methods that share it.

        None where there is none: a control may need no model.
        """
        training = self.training(cell)
        return self.results / "models" / training.name / cell.dataset / self.model_name(cell) if training else None

    def pretrained_dir(self, training: Training | None, dataset: str, model: str) -> Path | None:
        """Folder of the first phase of a training towards `model`; None where it is trained in one phase, or not at all."""
        first = training.pretraining if training else None
        return self.results / "pretrained" / first.name / dataset / model if first else None

    def translation_dir(self, cell: Cell) -> Path:
        """Folder of the cell's translations: a slice store with the one modality ``target``."""
        return self.results / "translations" / cell.replicate / cell.dataset / cell.direction

    def part_dirs(self, cell: Cell) -> list[Path]:
        """Folders of the parts of a translation that is divided among jobs; none where one job does it."""
        jobs = self.methods[cell.method].translate_jobs
        root = self.results / "parts" / cell.replicate / cell.dataset / cell.direction
        return [] if jobs == 1 else [root / f"{part}-of-{jobs}" for part in range(1, jobs + 1)]

    def scores_file(self, cell: Cell) -> Path:
        """Per-image scores; the distribution distances and the record stand beside it as ``<stem>.json`` and
        ``<stem>.record.json``."""
        return self.results / "scores" / f"{cell.name}.csv"

    def plot_files(self) -> list[Path]:
        """The user's own plots for the report, by name; none where there is no such folder. Names with ``_`` first are left
        alone."""
        return sorted(path for path in Path(self.config.report.plots).glob("*.py") if not path.name.startswith("_"))

    # -- what decides results ---------------------------------------------------------------------------------------
    def dataset_settings(self, dataset: str) -> str:
        """The data set's settings as JSON, defaults filled in."""
        return self.datasets[dataset].settings.model_dump_json()

    def settings(self, method: str, dataset: str) -> str:
        """The method's settings on a data set as JSON, defaults filled in."""
        return self.methods[method].settings[dataset].model_dump_json()

    def prepared(self, dataset: str) -> dict[str, Any]:
        """What a store of the data set has to be made with: settings, seed, raw folder."""
        settings = json.loads(self.dataset_settings(dataset))
        return {"seed": self.config.seed, "settings": settings, "raw": str(self.raw_dir(dataset))}

    def trained(self, training: Training, cell: Cell | None = None) -> dict[str, Any]:
        """What the models of a training, or of its first phase, have to be made with; the cell's, where it is imported."""
        if cell is not None and (exported := self.exported(cell)):
            card = exported.card
            return {"plugin": card.plugin.id, "seed": card.seed, "settings": card.settings}
        return {"plugin": training.plugin.id, "seed": self.seed_of(training), "settings": json.loads(training.settings)}

    def translated(self, cell: Cell) -> dict[str, Any]:
        """What the translations of a cell have to be made with."""
        if entry := self.predictions(cell):
            return {"settings": entry.decisive()}
        plugin, settings = self.methods[cell.method].plugin, self.settings(cell.method, cell.dataset)
        return {"plugin": plugin.id, "seed": self.seed_of(cell), "settings": json.loads(settings)}

    def plan_hash(self) -> str:
        """Hash of everything the report depends on beside the scores."""
        return sha256_json(json.loads(self.config.model_dump_json(exclude={"compute", "paths"})))
