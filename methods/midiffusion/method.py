"""MIDiffusion: zero-shot translation by diffusion guided by local mutual information (Wang et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.plugins import Method, Run, Supervision, TrainData
from xmodbench.seeding import ImageGenerator

from .settings import MidiffusionSettings

if TYPE_CHECKING:
    import numpy as np


class MIDiffusion(Method):
    """Denoises from pure noise to a target slice; every step sees the LMI of source and current image."""

    supervision = Supervision.ZERO_SHOT
    Config = MidiffusionSettings
    translation_settings = MidiffusionSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices: the clean slice stands in for the source."""
        from xmodbench.learning.diffusion import plugin

        from .guidance import TrainingGuide

        settings = self.settings.resolved()
        self.model, self.log = plugin.fit(
            settings,
            1 + len(settings.channels),
            train.target,
            lambda model: TrainingGuide(model, train.target, run.progress),
            run,
            _translated,
        )

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the loss of training."""
        from xmodbench.learning.training.plot import save_with_plot

        self.model.save(directory)
        save_with_plot(self.log, directory)

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; the options of sampling are this method's own."""
        from xmodbench.learning.diffusion import plugin

        self.model = plugin.load(directory, MidiffusionSettings, self.settings.resolved(), run)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W] from pure noise."""
        from xmodbench.learning.diffusion import plugin

        return plugin.translate(self.model, source, generators, partial(_translated, self.model))


def _translated(model, images, noise):
    """Translations of `images` [B, 1, H, W] by a diffusion model that is guided by them."""
    from xmodbench.learning.diffusion.samplers import sample

    from .guidance import source_guide

    return sample(model, source_guide(model, images), noise)
