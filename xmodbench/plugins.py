"""What a method plugin and a data-set plugin are, and how they are found.

A plugin is a folder ``methods/<id>/`` (``method.yaml``, ``method.py``, ``README.md``) or ``data_prep/<id>/``
(``dataset.yaml``, ``dataset.py``, ``README.md``), beside this package or in the working directory, or an installed
package with an entry point in ``xmodbench.methods`` / ``xmodbench.datasets`` that names the class. ``method.py`` must not
import torch at the top: the plan of a benchmark is made from the plugins' settings and has to be quick.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from xmodbench.errors import UserError, did_you_mean
from xmodbench.files import sha256_files
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    from xmodbench.download.remote import RemoteFile
    from xmodbench.progress import Progress
    from xmodbench.volumes.prepare import Preparation, SubjectRecord

PACKAGE_ROOT = Path(__file__).resolve().parent
REPOSITORY = PACKAGE_ROOT.parent


class Settings(BaseModel):
    """Base of every plugin's ``Config``: unknown options are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Supervision(StrEnum):
    """What a method may see in training; the harness hands it nothing else."""

    ZERO_SHOT = "zero-shot"  # target training slices only
    FEW_SHOT = "few-shot"  # the target's slices and a stated share of the source's, unpaired
    PAIRED = "paired"  # both, in the same order
    CONTROL = "control"  # what its name says, the test targets included

    @property
    def needs_source(self) -> bool:
        """Whether a model belongs to one source (and its path carries the source's name)."""
        return self in (Supervision.FEW_SHOT, Supervision.PAIRED)


@dataclass(frozen=True)
class TrainData:
    """The arrays a training job may see: float32 ``[N, 1, H, W]`` in ``[0, 1]``, memory-mapped.

    ``source`` is None for zero-shot methods and controls. For few-shot methods it holds only the slices that were drawn,
    unpaired with ``target``; for paired methods row i of both is the same slice.
    """

    target: np.ndarray
    source: np.ndarray | None = None


@dataclass
class Run:
    """What the harness gives to a plugin's job."""

    seed: int
    device: str  # "cpu" or "cuda"
    state_dir: Path  # private, survives a killed job; not an output
    progress: Progress
    threads: int = 1
    facts: dict[str, Any] = field(default_factory=dict)  # what the plugin wants in the job's record
    pretrained: Path | None = None  # what `TwoPhase.save_pretrained` wrote, where another job did that part

    def use_threads(self) -> None:
        """Let torch use the job's threads, on a CPU."""
        if self.device == "cpu":
            import torch

            torch.set_num_threads(self.threads)


class Method(ABC):
    """A method that translates slices of one modality into another.

    Images are float32 ``[N, 1, H, W]`` in ``[0, 1]`` everywhere. Subclasses set ``supervision`` and may replace
    ``Config`` by a pydantic model of their hyper-parameters; its defaults are the paper's.

    Attributes:
        translation_settings: fields of ``Config`` that only `translate` uses. They do not reach `fit`, and changing them
            trains nothing again; `load` lays them over what the model was trained with.
        model_plugin: the plugin whose models this method translates with; it then trains nothing itself.
        intermediate_images: what `translate` last left under the names of `intermediates`, each like its result.
    """

    supervision: ClassVar[Supervision]
    Config: ClassVar[type[Settings]] = Settings
    translation_settings: ClassVar[frozenset[str]] = frozenset()
    model_plugin: ClassVar[str | None] = None
    intermediate_images: dict[str, np.ndarray]

    def __init__(self, settings: Settings):
        self.settings = settings

    @abstractmethod
    def fit(self, train: TrainData, run: Run) -> None:
        """Train. State for resuming goes to ``run.state_dir``; a job killed and started again must end the same."""

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write the model into an empty folder: safetensors and JSON, never pickles."""

    @abstractmethod
    def load(self, directory: Path, run: Run) -> None:
        """Read what `save` wrote."""

    @abstractmethod
    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W] to the target modality; all randomness comes from ``generators`` (one each)."""

    def intermediates(self) -> tuple[str, ...]:
        """Names such as ``after_100``, known after `load`, of the images on the way that are kept beside translations."""
        return ()


class FewShot(Method):
    """A method that sees all target slices and a few of the source's, unpaired; the harness draws these."""

    supervision = Supervision.FEW_SHOT

    @abstractmethod
    def source_slices(self, available: int) -> int:
        """How many of the source's training slices it is to see, of those there are: its stated share."""


class TwoPhase(Method):
    """A method trained in two parts of which the first is worth a job of its own, such as a GAN before its encoder.

    Trainings that differ only in the second part share the first; each part is resumed, timed and recorded by itself. Done
    in one job, both parts end with the same bits on a CPU.

    Attributes:
        pretraining_settings: fields of ``Config`` that decide the first part.
    """

    pretraining_settings: ClassVar[frozenset[str]]

    @abstractmethod
    def pretrain(self, train: TrainData, run: Run) -> None:
        """The first part, under the rules of `fit`."""

    @abstractmethod
    def save_pretrained(self, directory: Path) -> None:
        """Write what `pretrain` made into an empty folder, as `save` does."""

    @abstractmethod
    def load_pretrained(self, directory: Path, run: Run) -> None:
        """Read what `save_pretrained` wrote, in place of `pretrain`."""

    @abstractmethod
    def fit_pretrained(self, train: TrainData, run: Run) -> None:
        """The second part, after `pretrain` or `load_pretrained`."""

    def fit(self, train: TrainData, run: Run) -> None:
        """Both parts, or the second where ``run.pretrained`` holds the first."""
        if run.pretrained is None:
            self.pretrain(train, run)
        else:
            self.load_pretrained(run.pretrained, run)
        self.fit_pretrained(train, run)


class Borrower(Method):
    """A method that translates with the models of another plugin (``model_plugin``) and trains nothing itself."""

    def fit(self, train: TrainData, run: Run) -> None:
        """Nothing to train."""
        raise TypeError("trains nothing")

    def save(self, directory: Path) -> None:
        """Nothing to write."""
        raise TypeError("trains nothing")


class Control(Method):
    """A method that shows what numbers mean, not a competitor: copies, references, bounds. Sees the test targets."""

    supervision = Supervision.CONTROL

    def fit(self, train: TrainData, run: Run) -> None:
        """Nothing to learn."""

    def save(self, directory: Path) -> None:
        """Nothing to keep."""

    def load(self, directory: Path, run: Run) -> None:
        """Nothing to read."""

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Controls are asked through `answer`."""
        raise TypeError("controls are asked through answer()")

    @abstractmethod
    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The control's images for a whole test set at once: ``source`` and ``target`` [N,1,H,W], a subject per slice."""


class Dataset(ABC):
    """A data set: where its raw volumes come from, which there are, and how slices are made of them."""

    simulated: ClassVar[bool] = False
    Config: ClassVar[type[Preparation]]

    def __init__(self, settings: Preparation):
        self.settings = settings

    @abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """Modality ids, known from the settings alone."""

    def archives(self) -> list[RemoteFile]:
        """The files that `acquire` would fetch, known without asking anyone; none for volumes that are made or given."""
        return []

    @abstractmethod
    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Make the raw volumes be in ``raw_dir`` (download, simulate), or say in a UserError how to get them there."""

    @abstractmethod
    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """The subjects found in ``raw_dir`` with a file per modality, sorted by subject."""


@dataclass(frozen=True)
class Kind:
    """One of the two kinds of plugins: where they live and what they are made of."""

    name: str
    folder: str
    module: str
    base: type
    group: str


METHODS = Kind("method", "methods", "method", Method, "xmodbench.methods")
DATASETS = Kind("dataset", "data_prep", "dataset", Dataset, "xmodbench.datasets")


@dataclass(frozen=True)
class Plugin:
    """A discovered plugin: its class, its metadata (``method.yaml``) and its folder (None: from an installed package)."""

    id: str
    kind: Kind
    cls: type
    meta: dict[str, Any]
    folder: Path

    @property
    def label(self) -> str:
        """Name for tables and figures."""
        return self.meta.get("label", self.id)

    @property
    def code_hash(self) -> str:
        """SHA-256 of the plugin's own code and of the shared machinery it imports; an edit there reruns its cells."""
        own = [path for path in self.folder.rglob("*") if path.suffix in {".py", ".yaml", ".json"}]
        shared = shared_machinery(tuple(sorted(path for path in own if path.suffix == ".py")))
        return sha256_files(own, self.folder)[:16] + sha256_files(shared, PACKAGE_ROOT)[:16]


# Changes outside these parts of the package (command line, report, messages) cannot change a model or a translation
SHARED_MACHINERY = ("diffusion", "gan", "stylegan2", "volumes", "training", "seeding")


def shared_machinery(files: tuple[Path, ...]) -> set[Path]:
    """Modules of this package that `files` import, directly or through each other, of those that affect results."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        for name in _imports(waiting.pop()):
            parts = name.split(".")
            if parts[0] != "xmodbench" or len(parts) < 2 or parts[1] not in SHARED_MACHINERY:
                continue
            for length in range(2, len(parts) + 1):
                stem = PACKAGE_ROOT.joinpath(*parts[1:length])
                path = stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else stem / "__init__.py"
                if path.is_file() and path not in found:
                    found.add(path)
                    waiting.append(path)
    return found


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(path, node) if node.level else node.module
            names += [f"{module}.{alias.name}" for alias in node.names] if module else []
    return tuple(names)


def _absolute(path: Path, node: ast.ImportFrom) -> str | None:
    """The module a relative import of this package means; None in a plugin, whose own files are all hashed anyway."""
    if not path.is_relative_to(PACKAGE_ROOT):
        return None
    package = [PACKAGE_ROOT.name, *path.relative_to(PACKAGE_ROOT).parts[: -node.level]]
    return ".".join([*package, *([node.module] if node.module else [])])


def plugin_roots(kind: Kind) -> list[Path]:
    """Folders searched for plugins: the working directory's first, then the repository's."""
    return list(dict.fromkeys([Path.cwd() / kind.folder, REPOSITORY / kind.folder]))


def available(kind: Kind) -> list[str]:
    """Ids of all plugins of a kind, without importing them."""
    local = {
        path.parent.name for root in plugin_roots(kind) for path in root.glob(f"*/{kind.module}.py") if path.is_file()
    }
    return sorted(local | {entry.name for entry in entry_points(group=kind.group)})


def find(kind: Kind, plugin_id: str, where: str | None = None) -> Plugin:
    """Import a plugin by id; folders win over installed packages.

    Raises:
        UserError: there is none, it cannot be imported, or it breaks the contract.
    """
    where = where or f"{kind.name} '{plugin_id}'"
    for root in plugin_roots(kind):
        if (root / plugin_id / f"{kind.module}.py").is_file():
            return _from_folder(kind, plugin_id, root / plugin_id)
    for entry in entry_points(group=kind.group):
        if entry.name == plugin_id:
            return _from_entry_point(kind, entry)
    known = available(kind)
    raise UserError(f"unknown {kind.name}", where, did_you_mean(plugin_id, known) or f"known: {', '.join(known)}")


@cache
def _from_folder(kind: Kind, plugin_id: str, folder: Path) -> Plugin:
    # a package of its own per folder, so that `from .lmi import ...` works inside a plugin
    package = f"xmodbench_{kind.folder}.{plugin_id.replace('-', '_')}"
    for name, path in ((f"xmodbench_{kind.folder}", folder.parent), (package, folder)):
        if name not in sys.modules:
            module = ModuleType(name)
            module.__path__ = [str(path)]
            sys.modules[name] = module
    sys.modules[package].__path__ = [str(folder)]
    try:
        module = importlib.import_module(f"{package}.{kind.module}")
    except Exception as error:
        problem = f"cannot be imported ({type(error).__name__}: {error})"
        raise UserError(problem, folder / f"{kind.module}.py", "fix it or take it out of the config") from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind.base) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise UserError(
            f"defines {len(classes)} subclasses of xmodbench.plugins.{kind.base.__name__}, expected one",
            folder / f"{kind.module}.py",
        )
    return _checked(Plugin(plugin_id, kind, classes[0], _metadata(folder / f"{kind.module}.yaml"), folder))


def _from_entry_point(kind: Kind, entry) -> Plugin:
    try:
        cls = entry.load()
    except Exception as error:
        raise UserError(f"cannot be imported ({error})", f"entry point {entry.value}") from error
    folder = Path(sys.modules[cls.__module__].__file__ or "").parent
    return _checked(Plugin(entry.name, kind, cls, _metadata(folder / f"{kind.module}.yaml"), folder))


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError("missing", path, "every plugin says what it is: label, summary, reference")
    try:
        meta = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"not valid YAML ({error})", path) from None
    if not isinstance(meta, dict) or not {"label", "summary"} <= set(meta):
        raise UserError("needs at least the keys label and summary", path)
    return meta


def _checked(plugin: Plugin) -> Plugin:
    cls, where = plugin.cls, plugin.folder / f"{plugin.kind.module}.py"
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise UserError(f"class {cls.__name__} lacks {', '.join(missing)}", where, "see docs/add-a-method.md")
    if plugin.kind is METHODS and not isinstance(getattr(cls, "supervision", None), Supervision):
        raise UserError(f"class {cls.__name__} has no supervision", where, f"one of {', '.join(Supervision)}")
    if plugin.kind is METHODS and issubclass(cls, FewShot) != (cls.supervision is Supervision.FEW_SHOT):
        problem = f"class {cls.__name__} is few-shot or a FewShot, but not both"
        raise UserError(problem, where, "subclass FewShot and say in source_slices how many it sees")
    if not (isinstance(getattr(cls, "Config", None), type) and issubclass(cls.Config, BaseModel)):
        raise UserError(f"class {cls.__name__} has no Config (a pydantic model)", where)
    if issubclass(cls, TwoPhase) and not hasattr(cls, "pretraining_settings"):
        raise UserError(f"class {cls.__name__} has no pretraining_settings", where, "see docs/add-a-method.md")
    shared = plugin.meta.get("several_processes", [])
    if not isinstance(shared, list) or set(shared) - {"pretrain", "train"}:
        raise UserError(
            "several_processes is no list of pretrain and train", plugin.folder / f"{plugin.kind.module}.yaml"
        )
    for name in ("translation_settings", "pretraining_settings"):
        unknown = set(getattr(cls, name, ())) - set(cls.Config.model_fields)
        if unknown:
            raise UserError(f"{name} names {', '.join(sorted(unknown))}, which Config lacks", where)
    if issubclass(cls, TwoPhase) and set(cls.pretraining_settings) & set(cls.translation_settings):
        raise UserError("pretraining_settings and translation_settings overlap", where)
    return plugin
