"""Where plugins are found: folders ``methods/<id>/``, ``data_prep/<id>/``, ``metrics/<id>/``, and installed packages.

A plugin is a folder ``methods/<id>/`` (``method.yaml``, ``method.py``, ``README.md``), ``data_prep/<id>/``
(``dataset.yaml``, ``dataset.py``, ``README.md``) or ``metrics/<id>/`` (``metric.yaml``, ``metric.py``, ``README.md``), in
the working directory or among those that this package ships, or an installed package with an entry point in
``xmodbench.methods``, ``xmodbench.datasets`` or ``xmodbench.metrics`` that names the class. None must import torch at the
top: the plan of a benchmark is made from the plugins' settings and has to be quick.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from xmodbench.commands import documentation
from xmodbench.errors import UserError, did_you_mean
from xmodbench.files import SHIPPED
from xmodbench.plugins.code_hash import folder_hash
from xmodbench.plugins.dataset import Dataset
from xmodbench.plugins.method import Control, FewShot, Method, Supervision, TwoPhase
from xmodbench.plugins.metric import ImageMetric
from xmodbench.plugins.settings import check_id
from xmodbench.plugins.shape import Shape
from xmodbench.plugins.wellformed import check_metadata, check_signatures
from xmodbench.yaml_text import parse_yaml

P = TypeVar("P", bound=Method | Dataset | ImageMetric)


@dataclass(frozen=True)
class Kind(Generic[P]):
    """One of the three kinds of plugins: where they live and what they are made of (`P`, the class in ``base``)."""

    name: str
    folder: str
    module: str
    base: type
    group: str


METHODS: Kind[Method] = Kind("method", "methods", "method", Method, "xmodbench.methods")
DATASETS: Kind[Dataset] = Kind("dataset", "data_prep", "dataset", Dataset, "xmodbench.datasets")
METRICS: Kind[ImageMetric] = Kind("metric", "metrics", "metric", ImageMetric, "xmodbench.metrics")
KINDS: tuple[Kind[Any], ...] = (METHODS, DATASETS, METRICS)


@dataclass(frozen=True)
class Plugin(Generic[P]):
    """A discovered plugin: its class, its metadata (``method.yaml``) and its folder (None: from an installed package)."""

    id: str
    kind: Kind[P]
    cls: type[P]
    meta: dict[str, Any]
    folder: Path

    @property
    def label(self) -> str:
        """Name for tables and figures."""
        return self.meta.get("label", self.id)

    @property
    def code_hash(self) -> str:
        """As that of its location."""
        return folder_hash(self.folder)


def plugin_roots(kind: Kind) -> list[Path]:
    """Folders searched for plugins: the working directory's first, then those that this package ships."""
    return list(dict.fromkeys([Path.cwd() / kind.folder, SHIPPED / kind.folder]))


def available(kind: Kind) -> list[str]:
    """Ids of all plugins of a kind, without importing them."""
    local = {
        path.parent.name for root in plugin_roots(kind) for path in root.glob(f"*/{kind.module}.py") if path.is_file()
    }
    return sorted(local | {entry.name for entry in _installed(kind.group, tuple(sys.path))})


@cache
def _installed(group: str, path: tuple[str, ...]) -> list[EntryPoint]:
    """Entry points of installed packages; every plugin of a plan asks, and looking through all packages takes 10 ms."""
    return list(entry_points(group=group))


@dataclass(frozen=True)
class Location(Generic[P]):
    """A plugin that was found but not imported: none of its code has run.

    Attributes:
        folder: of its files, the metadata among them.
        entry: ``module:Class`` for an installed package, None for a folder.
    """

    id: str
    kind: Kind[P]
    folder: Path
    entry: str | None = None

    @property
    def where(self) -> Path:
        """The file that defines the plugin's class."""
        return self.folder / f"{self.kind.module}.py"

    @property
    def code_hash(self) -> str:
        """Hash of the plugin's own code and of what it imports of this package; an edit there reruns its cells."""
        return folder_hash(self.folder)

    def meta(self) -> dict[str, Any]:
        """What its YAML says.

        Raises:
            UserError: there is none, or it is not valid.
        """
        return _metadata(self.folder / f"{self.kind.module}.yaml")


_told: dict[tuple[str, str], Location] = {}


def remember(location: Location) -> None:
    """Let `locate` find a plugin that this process could not find by itself: its working directory is another."""
    _told[location.kind.name, location.id] = location


def locate(kind: Kind[P], plugin_id: str, where: str | None = None) -> Location[P]:
    """Find a plugin by id without importing it; folders win over installed packages.

    Raises:
        UserError: there is none, or two packages bring one.
    """
    if told := _told.get((kind.name, plugin_id)):
        return told
    where = where or f"{kind.name} '{plugin_id}'"
    for root in plugin_roots(kind):
        if (root / plugin_id / f"{kind.module}.py").is_file():
            return Location(plugin_id, kind, root / plugin_id)
    if found := [entry for entry in _installed(kind.group, tuple(sys.path)) if entry.name == plugin_id]:
        if len(found) > 1:
            packages = ", ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in found))
            raise UserError(f"two packages bring one of this name: {packages}", where, "uninstall all but one")
        return Location(plugin_id, kind, _folder_of(found[0].module), found[0].value)
    known = available(kind)
    raise UserError(f"unknown {kind.name}", where, did_you_mean(plugin_id, known) or f"known: {', '.join(known)}")


def stands_in_for(location: Location) -> Path | None:
    """Folder of a shipped plugin whose id one in the working directory has taken over; None for others."""
    shipped = SHIPPED / location.kind.folder / location.id
    return shipped if shipped.is_dir() and shipped.resolve() != location.folder.resolve() else None


def _folder_of(module: str) -> Path:
    """Folder of an installed module, found without running its packages' code."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise UserError("its package is not installed", f"entry point {module}")
    if spec.submodule_search_locations is None:
        return Path(spec.origin or "").parent
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*inner[:-1])


def find(kind: Kind[P], plugin_id: str, where: str | None = None) -> Plugin[P]:
    """Import a plugin by id.

    Raises:
        UserError: there is none, it cannot be imported, or it breaks the contract.
    """
    return load(locate(kind, plugin_id, where))


@cache
def load(location: Location[P]) -> Plugin[P]:
    """Import a plugin that was located.

    Raises:
        UserError: its id is none that a config can name, it cannot be imported, or it breaks the contract.
    """
    renamed = "rename the entry point" if location.entry else "rename the folder"
    check_id(location.id, f"{location.kind.name} in {location.folder}", f"configs refuse it; {renamed}")
    cls = _class_of_entry(location) if location.entry else _class_in_folder(location)
    return _checked(Plugin(location.id, location.kind, cls, location.meta(), location.folder))


def _class_in_folder(location: Location) -> type[Any]:
    # a package of its own per folder, so that `from .lmi import ...` works inside a plugin
    kind, folder = location.kind, location.folder
    package = f"xmodbench_{kind.folder}.{location.id.replace('-', '_')}"
    if (known := sys.modules.get(package)) is not None and list(known.__path__) != [str(folder)]:
        # of another folder with a plugin of this id
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
    for name, path in ((f"xmodbench_{kind.folder}", folder.parent), (package, folder)):
        if name not in sys.modules:
            module = ModuleType(name)
            module.__path__ = [str(path)]
            sys.modules[name] = module
    sys.modules[package].__path__ = [str(folder)]
    try:
        module = importlib.import_module(f"{package}.{kind.module}")
    except Exception as error:
        raise _not_imported(error, location.where) from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind.base) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise UserError(
            f"defines {len(classes)} subclasses of xmodbench.plugins.{kind.base.__name__}, expected one", location.where
        )
    return classes[0]


def _class_of_entry(location: Location) -> type[Any]:
    module, _, name = str(location.entry).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise _not_imported(error, f"entry point {location.entry}") from error


def _not_imported(error: Exception, where: object) -> UserError:
    problem = f"cannot be imported ({type(error).__name__}: {error})"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("xmodbench"):
        return UserError(problem, where, f"install '{error.name}', or import it inside the functions that need it")
    return UserError(problem, where, "fix it or take it out of the config")


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError("missing", path, "every plugin says what it is: label, summary, reference")
    try:
        meta = parse_yaml(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise UserError(f"not valid YAML ({error})", path) from None
    if not isinstance(meta, dict) or not {"label", "summary"} <= set(meta):
        raise UserError("needs at least the keys label and summary", path)
    check_metadata(meta, path)
    return meta


def _checked(plugin: Plugin[P]) -> Plugin[P]:
    cls: type[Any] = plugin.cls
    where = plugin.folder / f"{plugin.kind.module}.py"
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        fix = f"see {documentation(f'add-a-{plugin.kind.name}.md')}"
        raise UserError(f"class {cls.__name__} lacks {', '.join(missing)}", where, fix)
    check_signatures(cls, plugin.kind.base, where)
    if plugin.kind is METHODS and not isinstance(getattr(cls, "supervision", None), Supervision):
        raise UserError(f"class {cls.__name__} has no supervision", where, f"one of {', '.join(Supervision)}")
    if plugin.kind is METHODS and issubclass(cls, FewShot) != (cls.supervision is Supervision.FEW_SHOT):
        problem = f"class {cls.__name__} is few-shot or a FewShot, but not both"
        raise UserError(problem, where, "subclass FewShot and say in source_slices how many it sees")
    if plugin.kind is METHODS:
        _check_shape(cls, where)
    if not (isinstance(getattr(cls, "Config", None), type) and issubclass(cls.Config, BaseModel)):
        raise UserError(f"class {cls.__name__} has no Config (a pydantic model)", where)
    if issubclass(cls, TwoPhase) and not hasattr(cls, "pretraining_settings"):
        raise UserError(
            f"class {cls.__name__} has no pretraining_settings", where, f"see {documentation('add-a-method.md')}"
        )
    for name in ("translation_settings", "pretraining_settings"):
        unknown = set(getattr(cls, name, ())) - set(cls.Config.model_fields)
        if unknown:
            raise UserError(f"{name} names {', '.join(sorted(unknown))}, which Config lacks", where)
    if issubclass(cls, TwoPhase) and set(cls.pretraining_settings) & set(cls.translation_settings):
        raise UserError("pretraining_settings and translation_settings overlap", where)
    return plugin


def _check_shape(cls: type[Method], where: Path) -> None:
    """Raise UserError unless the class declares a shape that can be handed out to its kind of method."""
    try:
        shape = Shape.of(cls)
    except UserError as error:
        raise UserError(f"class {cls.__name__}: {error.where} {error.what}", where, error.fix) from None
    if shape.plain:
        return
    declares = "volumes" if shape.volumes else "neighbours"
    if issubclass(cls, Control):
        problem = (
            f"class {cls.__name__} is a control and declares {declares}: it is asked about a whole test set at once"
        )
        raise UserError(problem, where, "leave that out")
    if issubclass(cls, FewShot):
        problem = f"class {cls.__name__} is few-shot and declares {declares}: its share is counted in single slices"
        raise UserError(problem, where, "leave that out, or be paired")
