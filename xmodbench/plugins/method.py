"""What a method plugin is: its supervision, what it is handed, and what it has to answer.

Imports neither NumPy nor torch: the plan of a benchmark is made from the plugins' classes, wherever Snakemake runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from xmodbench.plugins.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from xmodbench.progress import Progress
    from xmodbench.seeding import ImageGenerator


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
    """The arrays a training job may see: float32 ``[N, C, H, W]`` in ``[0, 1]``, memory-mapped.

    ``source`` is None for zero-shot methods and controls. For few-shot methods it holds only the slices that were drawn,
    unpaired with ``target``; for paired methods row i of both is the same slice.

    C is 1, unless the method declares otherwise: it is S (2n + 1) in ``source`` for S modalities and n ``neighbours``, the
    modalities one after the other, each with its slices from below to above. ``target`` has one channel beside a source, and
    2n + 1 where a method is handed nothing else. A method that declares ``volumes`` is handed sequences of volumes
    ``[S, D, H, W]`` and ``[1, D, H, W]`` instead, D differing from one to the next.
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

    Images are float32 ``[N, 1, H, W]`` in ``[0, 1]``, unless the class declares that it is handed more at once. Subclasses
    set ``supervision`` and may replace ``Config`` by a pydantic model of their hyper-parameters; its defaults are the
    paper's.

    Attributes:
        sources: least and most source modalities that it translates from at once, each a channel.
        neighbours: slices on each side of a slice that it is handed as further channels; a property where the settings say.
        volumes: whether it is handed whole volumes, one at a time.
        translation_settings: fields of ``Config`` that only `translate` uses. They do not reach `fit`, and changing them
            trains nothing again; `load` lays them over what the model was trained with.
        model_plugin: the plugin whose models this method translates with; it then trains nothing itself.
        intermediate_images: what `translate` last left under the names of `intermediates`, each like its result.
    """

    supervision: ClassVar[Supervision]
    Config: ClassVar[type[Settings]] = Settings
    translation_settings: ClassVar[frozenset[str]] = frozenset()
    model_plugin: ClassVar[str | None] = None
    sources: ClassVar[tuple[int, int]] = (1, 1)
    neighbours: int = 0
    volumes: ClassVar[bool] = False
    intermediate_images: dict[str, np.ndarray]
    settings: Any  # of the class `Config`

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
        """Translate ``source`` [N,C,H,W] to images [N,1,H,W]; all randomness comes from ``generators`` (one each).

        The channels are those of `TrainData`. A method that declares ``volumes`` is handed [1,S,D,H,W], one generator with
        it, and answers [1,1,D,H,W].
        """

    @classmethod
    def compile_kernels(cls) -> None:
        """Compile what needs no data, such as numba's functions: called once for each version of the code.

        What that leaves in the compilers' caches is handed to all jobs, which each have caches of their own. Called only
        where ``method.yaml`` says ``compiles: true``.
        """
        return None  # most methods have nothing to compile

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
