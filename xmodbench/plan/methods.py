"""The methods of a run, worked out from the config: sweeps written out, settings by data set, and who trains what."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from xmodbench.data.exported import ExportedModel
from xmodbench.errors import UserError, did_you_mean
from xmodbench.plan.config import BenchmarkConfig, MethodEntry, PredictionsEntry, merge
from xmodbench.plan.imported import (
    Imported,
    check_borrower,
    check_undecided,
    imported_models,
    imports,
    trained_with,
    trainer_of,
)
from xmodbench.plugins import Method, Plugin, Supervision, TwoPhase
from xmodbench.plugins.models import has_model, serves
from xmodbench.plugins.settings import validated
from xmodbench.plugins.shape import Shape


@dataclass(frozen=True)
class Training:
    """Models that are trained: those of one plugin with one set of training settings, on one data set.

    Attributes:
        name: folder of the models, and their name in logs: the id of the first method that asked for them, with the seed
            where it is not the run's own.
        settings: as JSON, without the options of translation.
        pretraining: the first phase of a training in two, which other trainings may share.
        seed: of a replicate; None for the run's own.
        models: exported models that are used instead of training, by name of the model; empty where there is a training.
    """

    name: str
    plugin: Plugin[Method]
    settings: str
    pretraining: Training | None = None
    seed: int | None = None
    models: dict[str, ExportedModel] = field(default_factory=dict)

    def at(self, seed: int | None) -> Training:
        """The same with another seed."""
        first = self.pretraining and self.pretraining.at(seed)
        return replace(self, name=replicate_name(self.name, seed), pretraining=first, seed=seed)


@dataclass(frozen=True)
class PlannedMethod:
    """One method of the run: an entry of the config, or a point of an entry's sweep.

    Attributes:
        family: id of the config's entry.
        point: the swept options with their values; empty without a sweep.
        settings: by data set, checked.
        trainings: by data set, the models it translates with; empty where it needs none.
        made_elsewhere: by data set, source and target, the predictions that stand for it; empty for methods that run here.
    """

    id: str
    family: str
    entry: MethodEntry
    plugin: Plugin[Method]
    point: dict[str, Any]
    settings: dict[str, BaseModel]
    trainings: dict[str, Training] = field(default_factory=dict)
    made_elsewhere: dict[tuple[str, str, str], PredictionsEntry] = field(default_factory=dict)

    @property
    def supervision(self) -> str:
        """What it may see; of predictions made elsewhere, what their authors declare."""
        declared = next(iter(self.made_elsewhere.values()), None)
        return declared.supervision if declared else self.plugin.cls.supervision

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        label = self.entry.label or self.plugin.label
        return ", ".join([label, *(f"{name} {shown(value)}" for name, value in self.point.items())])

    def translates(self, dataset: str, source: str, target: str) -> bool:
        """Whether it stands in a direction: all that there is, of the number of sources that it takes."""
        if self.made_elsewhere:
            return (dataset, source, target) in self.made_elsewhere
        return serves(self.plugin.cls, source)

    @property
    def deterministic(self) -> bool:
        """Whether there is no chance in it, so that another seed changes nothing."""
        return bool(self.made_elsewhere) or bool(self.plugin.meta.get("deterministic", False))

    @property
    def translate_jobs(self) -> int:
        """Jobs among which a direction's slices are divided."""
        return self.entry.translate_jobs or int(self.plugin.meta.get("resources", {}).get("translate_jobs", 1))


SEED = ".seed-"
"""Between a name and the seed of a replicate, in paths; ids hold no dot."""


def replicate_name(name: str, seed: int | None) -> str:
    """A method's or training's name in paths; the run's own seed (None) is not in it."""
    return name if seed is None else f"{name}{SEED}{seed}"


def read_replicate(name: str) -> tuple[str, int | None]:
    """What `replicate_name` put together."""
    own, _, seed = name.partition(SEED)
    return own, int(seed) if seed else None


def planned_methods(
    config: BenchmarkConfig,
    plugins: dict[str, Plugin[Method]],
    directions: dict[str, list[tuple[str, str]]],
    sizes: dict[str, int | None],
    where: str,
) -> dict[str, PlannedMethod]:
    """All methods by id, in the config's order.

    Args:
        config: of the run.
        plugins: of its entries, by id.
        directions: from what to what each data set is translated.
        sizes: height and width of each data set's slices, where they are known.
        where: the config's name, for messages.

    Raises:
        UserError: settings a plugin refuses, unknown data sets, models that are not there or do not fit.
    """
    methods: dict[str, PlannedMethod] = {}
    _check_sources(config, plugins, directions, where)
    imported = imported_models(config, plugins, directions, sizes, where)
    for family, entry in config.methods.items():
        _check_datasets(config, family, entry, where)
        _check_parts(family, entry, plugins[family], where)
        for point in _points(entry):
            name = _point_id(family, point, where)
            if name in methods or (point and name in config.methods):
                raise UserError(f"two methods with the id '{name}' ({where})", f"methods.{family}")
            settings = {
                dataset: _settings(config, plugins, family, dataset, point, where, imported)
                for dataset in config.datasets
            }
            methods[name] = PlannedMethod(name, family, entry, plugins[family], point, settings)
    for dataset in config.datasets:
        _assign_trainings(config, methods, plugins, dataset, where, imported)
    return methods


def _check_sources(
    config: BenchmarkConfig,
    plugins: dict[str, Plugin[Method]],
    directions: dict[str, list[tuple[str, str]]],
    where: str,
) -> None:
    """Raise UserError for a method that translates in no direction, and for a direction in which no method does."""
    sources = {
        (dataset, f"{source}->{target}"): source for dataset, pairs in directions.items() for source, target in pairs
    }
    for family, plugin in plugins.items():
        if not any(serves(plugin.cls, source) for source in sources.values()):
            takes = Shape.of(plugin.cls).counted()
            problem = f"'{plugin.id}' takes {takes}, and no direction of this run is of so many ({where})"
            raise UserError(problem, f"methods.{family}", "add one to a data set's directions, such as 't1+t2->pd'")
    made_elsewhere = {(entry.dataset, entry.direction) for entry in config.predictions}
    for (dataset, direction), source in sources.items():
        if (dataset, direction) not in made_elsewhere and not any(
            serves(plugin.cls, source) for plugin in plugins.values()
        ):
            problem = f"no method here takes the sources of '{direction}' at once ({where})"
            raise UserError(problem, f"datasets.{dataset}.directions", "add one that does, or leave the direction out")


def _check_datasets(config: BenchmarkConfig, family: str, entry: MethodEntry, where: str) -> None:
    for dataset in entry.per_dataset:
        if dataset not in config.datasets:
            hint = did_you_mean(dataset, config.datasets) or f"this run has {', '.join(config.datasets)}"
            raise UserError(f"unknown data set '{dataset}'; {hint} ({where})", f"methods.{family}.per_dataset")


def _check_parts(family: str, entry: MethodEntry, plugin: Plugin[Method], where: str) -> None:
    divisible = "translate_jobs" in plugin.meta.get("resources", {})
    if entry.translate_jobs and plugin.cls.supervision is Supervision.CONTROL and not divisible:
        raise UserError(f"a control answers for all slices at once ({where})", f"methods.{family}.translate_jobs")


def _points(entry: MethodEntry) -> Iterable[dict[str, Any]]:
    for values in itertools.product(*entry.sweep.values()):
        yield dict(zip(entry.sweep, values, strict=True))


def _point_id(family: str, point: dict[str, Any], where: str) -> str:
    parts = [family, *(f"{name}-{shown(value)}" for name, value in point.items())]
    name = re.sub(r"[^a-z0-9_-]+", "_", "-".join(parts).lower())
    if len(name) > 41:
        raise UserError(
            f"the id '{name}' is longer than 41 characters ({where})", f"methods.{family}", "shorten the id"
        )
    return name


def shown(value: Any) -> str:
    """A swept value as people write it: ``cross-self`` for a list, ``none`` for an empty one."""
    if isinstance(value, (list, tuple)):
        return "-".join(shown(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _settings(
    config: BenchmarkConfig,
    plugins: dict[str, Plugin[Method]],
    family: str,
    dataset: str,
    point: dict[str, Any],
    where: str,
    imported: Imported,
) -> BaseModel:
    entry, plugin, place = config.methods[family], plugins[family], f"methods.{family}.settings"
    values = merge(merge(entry.settings, entry.per_dataset.get(dataset, {})), point)
    lender = entry.model_of
    if family in imported and plugin.cls.model_plugin is None:
        check_undecided(plugin, values, "of the model", "an exported model", place, where)
        values = merge(trained_with(imported[family][dataset]), values)
    if lender is not None:
        if lender not in config.methods or lender == family:
            hint = did_you_mean(lender, config.methods) or "name another method of this run"
            raise UserError(f"no method '{lender}'; {hint} ({where})", f"methods.{family}.model_of")
        if plugins[lender].id == plugin.id:
            check_undecided(plugin, values, f"of '{lender}'", "model_of", place, where)
            other = config.methods[lender]
            values = merge(merge(other.settings, other.per_dataset.get(dataset, {})), values)
            if lender in imported:
                values = merge(trained_with(imported[lender][dataset]), values)
    return validated(plugin.cls.Config, values, where, prefix=f"methods.{family}.settings")


def training_settings(plugin: Plugin[Method], settings: BaseModel) -> str:
    """What decides a training, as JSON with defaults filled in."""
    return settings.model_dump_json(exclude=set(plugin.cls.translation_settings))


def _assign_trainings(
    config: BenchmarkConfig,
    methods: dict[str, PlannedMethod],
    plugins: dict[str, Plugin[Method]],
    dataset: str,
    where: str,
    imported: Imported,
) -> None:
    """Fill in `PlannedMethod.trainings`: equal trainings are done once, under the name of the first that needs them.

    What an entry imports is its own, whatever is trained with the same settings.
    """
    known: dict[tuple[str, str], Training] = {}
    pretrained: dict[tuple[str, str], Training] = {}
    for method in methods.values():
        family = _lender(config, plugins, method.family, where)
        plugin = plugins[family]
        if family in imported:
            method.trainings[dataset] = _imported(family, imported[family][dataset], plugin, where)
            continue
        if not has_model(plugin.cls):
            continue
        if family == method.family:
            wanted = training_settings(plugin, method.settings[dataset])
        else:
            lenders = [other for other in methods.values() if other.family == family]
            lent = {training_settings(plugin, other.settings[dataset]) for other in lenders}
            if len(lent) > 1:
                problem = f"'{family}' trains {len(lent)} models for each target, by its sweep ({where})"
                raise UserError(problem, f"methods.{method.family}", "borrow from a method that trains one")
            (wanted,) = lent
        if (plugin.id, wanted) not in known:
            owner = method if family == method.family else next(m for m in methods.values() if m.family == family)
            name = _name(owner, plugin.cls.translation_settings)
            first = _pretraining(pretrained, owner, plugin, dataset)
            known[plugin.id, wanted] = Training(name, plugin, wanted, first)
        method.trainings[dataset] = known[plugin.id, wanted]


def _imported(family: str, models: dict[str, ExportedModel], plugin: Plugin[Method], where: str) -> Training:
    """Exported models in the place of a training."""
    trainer = trainer_of(plugin)
    settings = validated(trainer.cls.Config, trained_with(models), where, prefix=f"methods.{family}.model")
    return Training(family, trainer, training_settings(trainer, settings), models=models)


def _name(method: PlannedMethod, harmless: frozenset[str]) -> str:
    """The entry's id where a sweep changes only options that do not matter, else that of its point."""
    return method.family if set(method.point) <= harmless else method.id


def _pretraining(
    known: dict[tuple[str, str], Training], method: PlannedMethod, plugin: Plugin[Method], dataset: str
) -> Training | None:
    """The first phase of a training in two, from those `known` where there is one with the same settings."""
    if not issubclass(plugin.cls, TwoPhase):
        return None
    decisive = plugin.cls.pretraining_settings
    wanted = method.settings[dataset].model_dump_json(include=set(decisive))
    if (plugin.id, wanted) not in known:
        name = _name(method, frozenset(plugin.cls.Config.model_fields) - decisive)
        known[plugin.id, wanted] = Training(name, plugin, wanted)
    return known[plugin.id, wanted]


def _lender(config: BenchmarkConfig, plugins: dict[str, Plugin[Method]], family: str, where: str) -> str:
    """The entry whose models this entry uses: its own, unless it says otherwise.

    Raises:
        UserError: there is none, it trains nothing itself, or it has seen what the borrower must not see.
    """
    plugin, place = plugins[family], f"methods.{family}"
    wanted = plugin.cls.model_plugin or plugin.id
    lender = config.methods[family].model_of
    if lender is None:
        if plugin.cls.model_plugin is None or imports(config.methods[family]):
            return family
        lender = next((name for name, other in plugins.items() if other.id == wanted), None)
        if lender is None:
            fix = f"add '{wanted}' to the methods"
            raise UserError(f"translates with models of '{wanted}', which this run lacks ({where})", place, fix)
    if plugins[lender].id != wanted:
        problem = f"'{lender}' has models of '{plugins[lender].id}', this method needs those of '{wanted}' ({where})"
        raise UserError(problem, f"{place}.model_of")
    if config.methods[lender].model_of is not None:
        raise UserError(
            f"'{lender}' itself borrows its models ({where})", f"{place}.model_of", "name the one that trains"
        )
    check_borrower(plugin, plugins[lender], place, where)
    return lender
