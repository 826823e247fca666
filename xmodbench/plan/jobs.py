"""What the Snakemake rules need to know of the plan; the rules themselves hold no logic.

Methods that take wildcards are used as input and params functions. Whatever changes a result is among the params, the
hash of the code included: Snakemake reruns a job when its params change.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.download.fetched import ACQUIRED, FETCHED, forget_not_fetched
from xmodbench.data.download.lockfile import given_archives
from xmodbench.data.exported import ExportedModel
from xmodbench.data.raw_state import seen
from xmodbench.errors import UserError
from xmodbench.files import SHIPPED, files_below, read_json, sha256_json
from xmodbench.plan.claim import check_claim
from xmodbench.plan.config import PredictionsEntry, parse_config
from xmodbench.plan.elsewhere import check_folders
from xmodbench.plan.methods import Training
from xmodbench.plan.plan import Cell, Plan
from xmodbench.plan.resources import Resources, cell_of, training_of, verb_of
from xmodbench.plan.storage import Storage
from xmodbench.plugins import METHODS, Method, Plugin, RemoteFile, find
from xmodbench.plugins.code_hash import package_hash
from xmodbench.records import FAILURE, RECORD
from xmodbench.yaml_text import read_yaml


def default_config() -> str:
    """The config of a call that names none: the working directory's ``config/paper.yaml``, or the one this package ships."""
    local = Path("config/paper.yaml")
    return str(local if local.is_file() else SHIPPED / local)


def plan_of(config: dict[str, Any], configfiles: list[str]) -> Plan:
    """The plan of Snakemake's merged config; a config that is wrong ends Snakemake with one line before it plans."""
    where = ", ".join(os.path.relpath(path) for path in configfiles) or "--config"
    try:
        for path in configfiles:
            # Snakemake lets the last of two equal keys win silently; this refuses them
            read_yaml(os.path.relpath(path))
        plan = Plan(parse_config(config, where), where)
        check_claim(plan, configfiles)
        check_folders(plan.config.predictions, where)
        return plan
    except UserError as error:
        print(f"xmodbench: error: {error}", file=sys.stderr)
        # not sys.exit: Snakemake would print the exit code as if it were a crash of the Snakefile
        sys.stderr.flush()
        os._exit(1)


class Jobs:
    """The plan, in the form the rules ask for it.

    Args:
        plan: of the run.
        runs_here: says, once Snakemake has chosen, whether jobs run on this machine (and not on a cluster's nodes).
        storage: where jobs find and leave files; the disk if left out.
        elsewhere: whether Snakemake works in another folder than it was started in; for messages.
        site: says what a profile has among its ``default-resources`` under a name.
    """

    def __init__(
        self,
        plan: Plan,
        runs_here: Callable[[], bool],
        storage: Storage | None = None,
        elsewhere: bool = False,
        site: Callable[[str], str | None] = lambda name: None,
    ):
        self.plan, self.config, self.storage, self.elsewhere = plan, plan.config, storage or Storage(), elsewhere
        self.asks = Resources(plan, runs_here, site)
        self.results, self.data = str(plan.results), plan.config.paths.data
        self._code_hash = cache(lambda plugin_id: find(METHODS, plugin_id).code_hash)  # every job asks for it

    # -- wildcards --------------------------------------------------------------------------------------------------
    def datasets(self) -> str:
        """Constraint of the wildcard ``dataset``."""
        return "|".join(self.config.datasets)

    def methods(self) -> str:
        """Constraint of the wildcard ``method``: names of methods, with the seed where it is not the run's own."""
        return _any_of(re.escape(cell.replicate) for cell in self.plan.runs)

    def trainings(self) -> str:
        """Constraint of the wildcard ``training``: names under which models are kept that are trained here."""
        return _any_of(re.escape(name) for (_, name), training in self.plan.trainings.items() if not training.models)

    def imports(self) -> str:
        """Constraint of the wildcard ``training`` where models are imported instead."""
        return _any_of(re.escape(name) for (_, name), training in self.plan.trainings.items() if training.models)

    def pretrainings(self) -> str:
        """Constraint of the wildcard ``pretraining``: names of first phases."""
        return _any_of(re.escape(name) for _, name in self.plan.pretrainings)

    def methods_in_parts(self, divided: bool) -> str:
        """Constraint of ``method`` where translations are divided among jobs, or where they are not."""
        several = {name: m.translate_jobs > 1 for name, m in self.plan.methods.items() if not m.made_elsewhere}
        return _any_of(re.escape(cell.replicate) for cell in self.plan.runs if several.get(cell.method) == divided)

    def made_elsewhere(self) -> str:
        """Constraint of ``method`` where translations were made elsewhere."""
        return _any_of(name for name, method in self.plan.methods.items() if method.made_elsewhere)

    # -- data sets --------------------------------------------------------------------------------------------------
    def dataset_options(self, wildcards) -> list[str]:
        """Options of acquire and prepare that come from the config."""
        return [*self.fetch_options(wildcards), *self._seed()]

    def dataset_code(self, wildcards) -> str:
        """Hash of the data set's code and of the preparation's."""
        return self.plan.dataset_plugins[wildcards.dataset].code_hash + package_hash("data/volumes", "store.py")

    def archives(self) -> str:
        """Constraint of the wildcard ``archive``: names of the archives that can be fetched beforehand."""
        return _any_of(re.escape(file.name) for key in self.config.datasets for file in self._archives(key))

    def fetch_options(self, wildcards) -> list[str]:
        """Options of fetch that come from the config."""
        name = wildcards.dataset
        options = ["--raw", str(self.plan.raw_dir(name)), "--settings", self.plan.dataset_settings(name)]
        return [*self._plugin_option(self.plan.dataset_plugins[name], name), *options]

    def fetch_records(self, wildcards) -> list[str]:
        """Records of a data set's archives, each fetched by a job of its own."""
        folder = self.plan.data_dir(wildcards.dataset) / FETCHED
        return [str(folder / f"{file.name}.record.json") for file in self._archives(wildcards.dataset)]

    def _archives(self, dataset: str) -> list[RemoteFile]:
        found = self.plan.datasets[dataset]
        return found.archives() if isinstance(found, FromArchives) else []

    def forget_not_fetched(self) -> None:
        """After a run that failed: archives that could not be had are tried again, side by side, by the next."""
        for name in self.config.datasets:
            forget_not_fetched(self.plan.data_dir(name))

    def raw_listing(self, wildcards) -> str:
        """Archives that somebody put into the raw folder: one that comes, or replaces another, is acquired again."""
        return str(given_archives(self.plan.raw_dir(wildcards.dataset)) or "")

    def raw_seen(self, wildcards) -> str:
        """Other than the last time where anything has changed in the raw folder since it was acquired."""
        return seen(self.plan.raw_dir(wildcards.dataset), self.storage.here(self.plan.data_dir(wildcards.dataset)))

    def preparation(self, wildcards) -> list[str]:
        """Record of a data set's preparation, which jobs look for beside its stores, where it has to be brought to them."""
        return [] if self.storage.is_disk else [str(self.plan.data_dir(wildcards.dataset) / RECORD)]

    # -- methods ----------------------------------------------------------------------------------------------------
    def training_options(self, wildcards) -> list[str]:
        """Options of train and pretrain that come from the config; what only translation uses is not among them."""
        training = training_of(self.plan, wildcards)
        plugin = self._plugin_option(training.plugin, training.name)
        return [*plugin, "--settings", training.settings, *self._seed(training), *self._arithmetic()]

    def pretrained_option(self, wildcards) -> list[str]:
        """``--pretrained`` with its folder, for a training in two phases."""
        folder = self._pretrained(wildcards)
        return ["--pretrained", str(self.storage.here(folder))] if folder else []

    def pretrained_record(self, wildcards) -> list[str]:
        """Record of the first phase, for a training in two."""
        folder = self._pretrained(wildcards)
        return [self._made(folder)] if folder else []

    def _pretrained(self, wildcards) -> Path | None:
        return self.plan.pretrained_dir(training_of(self.plan, wildcards), wildcards.dataset, wildcards.model)

    def training_expects(self, wildcards) -> str:
        """What a training's store and first phase have to be made with, as JSON."""
        first = training_of(self.plan, wildcards).pretraining if verb_of(wildcards) == "train" else None
        expected = {"prepared": self.plan.prepared(wildcards.dataset)}
        return json.dumps(expected | ({"pretrained": self.plan.trained(first)} if first else {}))

    def translation_expects(self, wildcards) -> str:
        """What a translation's slices and model have to be made with, as JSON."""
        cell = cell_of(wildcards)
        training = self.plan.training(cell)
        expected = {"prepared": self.plan.prepared(wildcards.dataset)}
        return json.dumps(expected | ({"trained": self.plan.trained(training, cell)} if training else {}))

    def score_expects(self, wildcards) -> str:
        """What the slices and the translations that are scored have to be made with, as JSON."""
        translated = self.plan.translated(cell_of(wildcards))
        return json.dumps({"prepared": self.plan.prepared(wildcards.dataset), "translated": translated})

    def exported_model(self, wildcards) -> str:
        """The zip that a model is imported from."""
        return str(self._exported(wildcards).path)

    def import_expects(self, wildcards) -> str:
        """Which zip it has to be, by its hash, and the code that is going to use it, as JSON."""
        code = self._code_hash(training_of(self.plan, wildcards).plugin.id)
        return json.dumps({"sha256": self._exported(wildcards).sha256, "code_sha256": code})

    def _exported(self, wildcards) -> ExportedModel:
        return training_of(self.plan, wildcards).models[wildcards.model]

    def training_code(self, wildcards) -> str:
        """Hash of the code that trains."""
        return self._method_code(training_of(self.plan, wildcards).plugin)

    def training_modalities(self, wildcards) -> list[str]:
        """``--target`` and, only where the supervision allows it, ``--source``."""
        target, _, source = wildcards.model.partition("-from-")
        return ["--target", target, *(["--source", source] if source else [])]

    def method_options(self, wildcards) -> list[str]:
        """Options of translate that come from the config."""
        cell = cell_of(wildcards)
        plugin = self._plugin_option(self.plan.methods[cell.method].plugin, cell.replicate)
        settings = ["--settings", self.plan.settings(cell.method, cell.dataset)]
        return [*plugin, *settings, *self._seed(cell), *self._arithmetic()]

    def method_code(self, wildcards) -> str:
        """Hash of the code that translates."""
        return self._method_code(self.plan.methods[cell_of(wildcards).method].plugin)

    def _method_code(self, plugin: Plugin[Method]) -> str:
        return self._code_hash(plugin.id) + package_hash("plugins/contract.py", "seeding.py")

    def model_record(self, wildcards) -> list[str]:
        """Record of the model that translates a cell; none for a control that needs no model."""
        folder = self.plan.model_dir(cell_of(wildcards))
        return [self._made(folder)] if folder else []

    def model_option(self, wildcards) -> list[str]:
        """``--model`` with its folder, where there is one."""
        folder = self.plan.model_dir(cell_of(wildcards))
        return ["--model", str(self.storage.here(folder))] if folder else []

    def part_records(self, wildcards) -> list[str]:
        """Records of the parts of a divided translation."""
        return [self._made(folder) for folder in self.plan.part_dirs(cell_of(wildcards))]

    def part_folders(self, parts: Iterable[str]) -> list[str]:
        """Folders of the parts, of which a job was given the records."""
        return [os.path.dirname(part) if self.storage.is_disk else str(part) for part in parts]

    def _made(self, folder: Path) -> str:
        """The file that stands for a folder on a disk, or the folder (`xmodbench.plan.storage`)."""
        return str(folder / RECORD if self.storage.is_disk else folder)

    # -- predictions made elsewhere ---------------------------------------------------------------------------------
    def prediction_files(self, wildcards) -> list[str]:
        """The files of a cell's predictions."""
        return [self.storage.own(str(path)) for path in files_below(self._predictions(wildcards).folder)]

    def predictions_seen(self, wildcards) -> str:
        """Another than before where a file of a cell's predictions has come, gone or changed, even to an older one."""
        listing = [(name, os.stat(name)) for name in self.prediction_files(wildcards) if os.path.exists(name)]
        return sha256_json([(name, status.st_size, status.st_mtime_ns) for name, status in listing])[:16]

    def prediction_options(self, wildcards) -> list[str]:
        """The folder and the options of import-predictions that come from the config."""
        entry = self._predictions(wildcards)
        options = ["--id", entry.id, "--name", entry.label, "--supervision", entry.supervision, "--units", entry.units]
        options += ["--files", entry.files] if entry.files is not None else []
        return [entry.folder, "--dataset", entry.dataset, *options, *(["--partial"] if entry.partial else [])]

    def prediction_expects(self, wildcards) -> str:
        """What the slices that predictions are matched with have to be made with, as JSON."""
        return json.dumps({"prepared": self.plan.prepared(wildcards.dataset)})

    def prediction_code(self, wildcards) -> str:
        """Hash of the code that reads predictions."""
        return package_hash("stages/predictions", "data/volumes", "store.py")

    def _predictions(self, wildcards) -> PredictionsEntry:
        entry = self.plan.predictions(cell_of(wildcards))
        assert entry is not None  # by the wildcards' constraint
        return entry

    # -- scores and report ------------------------------------------------------------------------------------------
    def scoring_options(self, wildcards) -> list[str]:
        """Options of score that come from the config."""
        return ["--settings", self.config.scoring.model_dump_json(), *self._seed()]

    def scoring_code(self, wildcards) -> str:
        """Hash of the metrics' code, plugins included: an edit of one scores again and does nothing else."""
        own = [plugin.code_hash for plugin in self.plan.metric_plugins]
        return "".join([package_hash("metrics", "stages/score.py"), *own])

    def score_files(self) -> list[str]:
        """All per-image scores of the run."""
        return [str(self.plan.scores_file(cell)) for cell in self.plan.runs]

    def plot_files(self) -> list[str]:
        """The user's own plots for the report."""
        return [self.storage.own(str(path)) for path in self.plan.plot_files()]

    def report_needs(self) -> list[str]:
        """What the report reads beside the scores, where that has to be brought to it."""
        if self.storage.is_disk:
            return []
        scores = [self.plan.scores_file(cell) for cell in self.plan.runs]
        stores = [self.plan.data_dir(name) for name in self.config.datasets]
        models = dict.fromkeys(folder for cell in self.plan.runs if (folder := self.plan.model_dir(cell)))
        beside = [path.with_suffix(ending) for path in scores for ending in (".json", f".{RECORD}")]
        beside += [folder / name for folder in stores for name in ("train", "test", RECORD, ACQUIRED)]
        return [str(path) for path in [*beside, *map(self.plan.translation_dir, self.plan.runs), *models]]

    def report_code(self, wildcards=None) -> str:
        """Hash of the report's code and of the settings it shows."""
        return package_hash("report") + self.plan.plan_hash()[:16]

    def config_json(self, wildcards=None) -> str:
        """The whole config, resolved, as JSON; a params function, or Snakemake would take its braces for wildcards."""
        paths = self.config.paths
        here = {name: str(self.storage.here(getattr(paths, name))) for name in ("results", "data")}
        return self.config.model_copy(update={"paths": paths.model_copy(update=here)}).model_dump_json()

    # -- messages ---------------------------------------------------------------------------------------------------
    def failures(self) -> list[str]:
        """One line for each failed job of this run's folders."""
        roots = [self.plan.results, *(self.plan.data_dir(name) for name in self.config.datasets)]
        found = sorted(path for root in roots for path in files_below(root) if path.name.endswith(FAILURE))
        return [f"{self._shown(path.parent)}: {_error(path)}" for path in found]

    def success_message(self) -> str:
        """What to open after a run."""
        report, table = (self.plan.results / name for name in ("report.html", "table.md"))
        if not self.storage.is_disk:
            return f"\nReport: {self.storage.address(report)}\nTable:  {self.storage.address(table)}\n"
        return f"\nReport: {self._shown(report)}\nTable:  {self._shown(table)}\n" if report.is_file() else ""

    def has_scores(self) -> bool:
        """Whether there is anything for a partial report to show."""
        return any(Path(file).is_file() for file in self.score_files())

    def partial_report(self) -> str:
        """The command that reports what there is after a run that failed."""
        return shlex.join(["python", "-m", "xmodbench", "report", "--partial", "--config", self.config_json()])

    def error_message(self, command: str, reported: bool) -> str:
        """What failed and how to go on.

        Args:
            reported: whether there is a report of what succeeded.
        """
        lines = ["", "Failed:", *(f"  {line}" for line in self.failures() or ["see the log above"]), ""]
        if reported:
            lines += [
                "What is there, with the failed cells:",
                f"  {self._shown(self.plan.results / 'partial' / 'report.html')}",
            ]
        return "\n".join([*lines, "To continue, once the cause is mended:", f"  {command}", ""])

    def _shown(self, path: Path) -> Path:
        """A path as it is found in the shell that Snakemake was started from."""
        return path.absolute() if self.elsewhere else path

    def _plugin_option(self, plugin: Plugin, name: str) -> list[str]:
        return ["--plugin", plugin.id] if plugin.id != name else []

    def _seed(self, made: Cell | Training | None = None) -> list[str]:
        return ["--seed", str(self.config.seed if made is None else self.plan.seed_of(made))]

    def _arithmetic(self) -> list[str]:
        return ["--tf32"] if self.config.compute.tf32 else []


def _any_of(names: Iterable[str]) -> str:
    """Regular expression of any of the names; of none, one that matches nothing."""
    return "|".join(dict.fromkeys(names)) or "(?!)"


def _error(failure: Path) -> str:
    """What a job wrote down when it failed."""
    try:
        return str(read_json(failure).get("error", "failed"))
    except (UserError, AttributeError) as error:
        return f"failed ({error})"
