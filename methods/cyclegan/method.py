"""CycleGAN: unpaired translation by cycle consistency (Zhu et al. 2017), with a few source slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.gan.settings import PUBLISHED, SHARE, SHORT, FewShotSettings
from xmodbench.plugins import FewShot, Run, TrainData
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np

OWN: dict[str, Any] = {"blocks": 9, "cycle": 10.0, "identity": 0.5, "pool_size": 50, "share": SHARE}


class CycleganSettings(FewShotSettings):
    """Options of CycleGAN; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**PUBLISHED, **OWN},
        "paper_128": {**PUBLISHED, **OWN, "blocks": 6, "identity": 0.0},
        "short": {**SHORT, **OWN, "blocks": 3},
    }

    preset: Literal["released", "paper_128", "short"] = Field(
        "released",
        description="released: the authors' code; paper_128: their paper's for images up to 128 pixels, with 6 blocks and "
        "no identity loss; short: minutes on a CPU, nothing published.",
    )
    blocks: int | None = Field(None, ge=1, le=32, description="Residual blocks of the generators (code: 9).")
    cycle: float | None = Field(None, ge=0, description="Weight of the cycle losses (10).")
    identity: float | None = Field(
        None,
        ge=0,
        description="Weight of the identity losses, relative to `cycle` (code: 0.5, so 5 in all; paper: some tasks only).",
    )
    pool_size: int | None = Field(
        None, ge=0, le=10_000, description="Translations of each kind kept for its discriminator (50)."
    )


class CycleGAN(FewShot):
    """Two generators and two discriminators; the generator from source to target is kept."""

    Config = CycleganSettings

    def source_slices(self, available: int) -> int:
        """The stated share or number of the source slices there are."""
        return self.settings.source_slices(available)

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on all target slices and the drawn source slices, unpaired."""
        from xmodbench.learning.gan import plugin

        from .game import CycleGame

        self.model = plugin.fit(self.settings.resolved(), CycleGame, train, run, paired=False)

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the losses of training."""
        self.model.save(directory)

    def load(self, directory: Path, run: Run) -> None:
        """Read a model."""
        from xmodbench.learning.gan.plugin import Translator

        from .game import generator_of

        self.model = Translator.load(directory, CycleganSettings, generator_of, run)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]; there is no randomness in it."""
        return self.model.translate(source, generators)
