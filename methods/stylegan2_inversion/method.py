"""StyleGAN2-ADA with in-domain inversion (Karras et al. 2020; Zhu et al. 2020): the target slice most like the source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.stylegan2.method import InvertingMethod
from xmodbench.learning.stylegan2.settings import PRETRAINING_SETTINGS, StyleganSettings
from xmodbench.plugins import Run, Supervision, TrainData, TwoPhase
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np


class StyleganInversion(InvertingMethod, TwoPhase):
    """Learns to generate target slices and to encode them; translates by inverting the source in that generator."""

    supervision = Supervision.ZERO_SHOT
    Config = StyleganSettings
    pretraining_settings = PRETRAINING_SETTINGS

    def pretrain(self, train: TrainData, run: Run) -> None:
        """Train the GAN on target slices."""
        from xmodbench.learning.stylegan2 import gan

        self.gan = gan.pretrain(self.settings, train.target, run)

    def save_pretrained(self, directory: Path) -> None:
        """Generator, discriminator, resolved settings and the losses of training."""
        self.gan.save(directory)

    def load_pretrained(self, directory: Path, run: Run) -> None:
        """Read a GAN; it must have been trained with this object's settings."""
        from xmodbench.learning.stylegan2.gan import Gan

        self.gan = Gan.load(directory, self.settings, run)

    def fit_pretrained(self, train: TrainData, run: Run) -> None:
        """Train the encoder on the same slices."""
        from xmodbench.learning.stylegan2 import model

        self.model = model.fit(self.gan, train.target, run)

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the losses of training."""
        self.model.save(directory)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]; there is no randomness in it."""
        return self.inverted(source)
