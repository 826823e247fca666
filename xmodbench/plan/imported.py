"""Exported models that a config names in place of a training: which of them serves what, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmodbench.data.exported import Card, ExportedModel
from xmodbench.errors import UserError, did_you_mean
from xmodbench.plan.config import BenchmarkConfig, MethodEntry, ModelFile
from xmodbench.plugins import METHODS, Method, Plugin, Supervision, find
from xmodbench.plugins.models import serves

Needed = Mapping[str, str]
"""Names of the models that an entry needs on one data set, each with the key that names it in a config, as ``pd->t1``."""
Imported = dict[str, dict[str, dict[str, ExportedModel]]]
"""By entry, data set and name of the model; only entries that import."""


def imported_models(
    config: BenchmarkConfig,
    plugins: Mapping[str, Plugin[Method]],
    directions: Mapping[str, list[tuple[str, str]]],
    sizes: Mapping[str, int | None],
    where: str,
) -> Imported:
    """Read the exported models that a config names.

    Args:
        plugins: of the config's entries, by id.
        directions: from what to what each data set is translated.
        sizes: height and width of each data set's slices, where they are known.
        where: the config's name, for messages.

    Raises:
        UserError: one is not there, cannot be used, is missing, or is named for nothing.
    """
    reader, found = _Reader(where), {}
    for family, entry in config.methods.items():
        if imports(entry):
            trainer = trainer_of(plugins[family])
            check_borrower(plugins[family], trainer, f"methods.{family}", where)
            needed = {dataset: _needed(trainer, pairs) for dataset, pairs in directions.items()}
            found[family] = reader.find(family, entry, trainer, needed, sizes)
    return found


def imports(entry: MethodEntry) -> bool:
    """Whether an entry names exported models."""
    return bool(entry.model or entry.models)


def trainer_of(plugin: Plugin[Method]) -> Plugin[Method]:
    """The plugin that trains a plugin's models: itself, or the one that it borrows from."""
    return plugin if plugin.cls.model_plugin is None else find(METHODS, plugin.cls.model_plugin)


def trained_with(models: Mapping[str, ExportedModel]) -> dict[str, Any]:
    """What models of one entry, which are alike, were trained with, and the options of translation that their run used."""
    return _settings(next(iter(models.values())).card)


def _settings(card: Card) -> dict[str, Any]:
    return {**card.settings, **card.translation_settings}


def _needed(plugin: Plugin[Method], directions: list[tuple[str, str]]) -> Needed:
    """One model for each target, or for each direction where training needs the source."""
    directions = [(source, target) for source, target in directions if serves(plugin.cls, source)]
    if plugin.cls.supervision.needs_source:
        return {f"{target}-from-{source}": f"{source}->{target}" for source, target in directions}
    return {target: target for _, target in directions}


def check_borrower(plugin: Plugin[Method], lender: Plugin[Method], place: str, where: str) -> None:
    """Raise UserError where a method would use a model that has seen what the method must not see."""
    allowed = (lender.cls.supervision, Supervision.CONTROL)
    if plugin.cls.supervision not in allowed:
        problem = f"a {plugin.cls.supervision} method cannot use a model of supervision {allowed[0]} ({where})"
        raise UserError(problem, place)


def check_undecided(
    plugin: Plugin[Method], values: dict[str, Any], whose: str, given: str, place: str, where: str
) -> None:
    """Raise UserError where options for a model that is trained elsewhere decide its training."""
    harmless = plugin.cls.translation_settings | set(
        plugin.meta.get("files", [])
    )  # files lie elsewhere on each machine
    if decided := sorted(set(values) - harmless):
        allowed = ", ".join(sorted(harmless)) or "nothing"
        problem = f"'{decided[0]}' decides the training, which is that {whose}"
        raise UserError(f"{problem}; with {given} there may be {allowed} ({where})", place)


class _Reader:
    """Reads each file once."""

    def __init__(self, where: str):
        self.where = where
        self._read: dict[str, ExportedModel] = {}

    def find(
        self,
        family: str,
        entry: MethodEntry,
        trainer: Plugin[Method],
        needed: Mapping[str, Needed],
        sizes: Mapping[str, int | None],
    ) -> dict[str, dict[str, ExportedModel]]:
        """The models of an entry, by data set and name."""
        self._check_keys(family, entry, needed)
        found = {
            dataset: {name: self._one(family, entry, dataset, keys, name) for name in keys}
            for dataset, keys in needed.items()
        }
        for dataset, models in found.items():
            for name, model in models.items():
                self._check(f"methods.{family}", trainer, dataset, name, model, sizes.get(dataset))
            self._check_alike(f"methods.{family}", list(models.values()))
        return found

    def _one(self, family: str, entry: MethodEntry, dataset: str, keys: Needed, name: str) -> ExportedModel:
        place = f"methods.{family}"
        if entry.model:
            if len(keys) > 1:
                fix = f"`models: {{{', '.join(f'{key}: ...' for key in keys.values())}}}`, or fewer `directions`"
                problem = f"'{dataset}' needs {len(keys)} models and `model` names one ({self.where})"
                raise UserError(problem, f"{place}.model", f"write {fix}")
            return self._model(entry.model, f"{place}.model")
        for key in (f"{dataset}/{keys[name]}", keys[name]):
            if key in entry.models:
                return self._model(entry.models[key], f"{place}.models.{key}")
        raise UserError(f"no model for '{keys[name]}' of '{dataset}' ({self.where})", f"{place}.models", "name one")

    def _model(self, file: ModelFile, place: str) -> ExportedModel:
        if file.file not in self._read:
            try:
                self._read[file.file] = ExportedModel.read(Path(file.file))
            except UserError as error:
                raise UserError(f"{error} ({self.where})", place) from None
        model = self._read[file.file]
        if file.sha256 not in (None, model.sha256):
            problem = f"{file.file} has SHA-256 {model.sha256}, not the one that is given ({self.where})"
            raise UserError(problem, f"{place}.sha256", "get the file that was meant, or give its hash")
        return model

    def _check_keys(self, family: str, entry: MethodEntry, needed: Mapping[str, Needed]) -> None:
        known = {
            key for dataset, keys in needed.items() for name in keys.values() for key in (name, f"{dataset}/{name}")
        }
        for key in entry.models:
            if key not in known:
                hint = (
                    did_you_mean(key, known) or f"this run needs {', '.join(sorted(k for k in known if '/' not in k))}"
                )
                raise UserError(
                    f"nothing here is translated by it; {hint} ({self.where})", f"methods.{family}.models.{key}"
                )

    def _check(
        self, place: str, trainer: Plugin[Method], dataset: str, name: str, model: ExportedModel, size: int | None
    ) -> None:
        """Raise UserError unless a model is one of this plugin, for this target and source, and of slices of this size."""
        card, shape = model.card, None if size is None else [size, size]
        if card.plugin.id != trainer.id:
            problem = f"{model.path} is a model of '{card.plugin.id}', this method needs one of '{trainer.id}'"
        elif card.supervision != trainer.cls.supervision:
            problem = f"{model.path} was trained {card.supervision}, '{trainer.id}' is {trainer.cls.supervision}"
        elif card.model_name != name:
            problem = f"{model.path} translates to '{_named(card)}', '{dataset}' needs a model for '{name}'"
        elif None not in (card.shape, shape) and card.shape != shape:
            sides = " x ".join(map(str, card.shape or ()))
            problem = f"{model.path} is of {sides} pixels, '{dataset}' is prepared to {size} x {size}; set image_size"
        else:
            return
        raise UserError(f"{problem} ({self.where})", place)

    def _check_alike(self, place: str, models: list[ExportedModel]) -> None:
        """Raise UserError unless models that stand for one training were trained with the same settings."""
        for model in models[1:]:
            if _settings(model.card) != _settings(models[0].card):
                problem = f"{model.path} was trained with other settings than {models[0].path} ({self.where})"
                raise UserError(problem, place, "use models of one run, or an entry for each")


def _named(card: Card) -> str:
    return card.model_name.replace("-from-", "' from '")
