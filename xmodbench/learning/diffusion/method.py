"""What every diffusion plugin answers the same way. Imports neither NumPy nor torch at its top, as plugins must not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.plugins import Method, Run, Supervision, TrainData
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from .model import DiffusionModel
    from .samplers import Noise
    from .training import Channels, DiffusionTraining


class DiffusionMethod(Method):
    """A zero-shot method that translates with a diffusion model of the target; subclasses say how, in `draw`.

    The settings in force are those of ``self.model``: an object that only translates has read them with the model.
    """

    supervision = Supervision.ZERO_SHOT
    model: DiffusionModel

    @abstractmethod
    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translations of sources [B, 1, H, W] in [0, 1] by `model`, with a stream of noise; in snapshots too."""

    def train_model(
        self,
        train: TrainData,
        run: Run,
        inputs: int = 1,
        channels_of: Callable[[DiffusionModel], Channels] = lambda model: lambda batch: None,
        training: type[DiffusionTraining] | None = None,
    ) -> None:
        """Train a model of the target with `inputs` channels; `channels_of` makes those beside the noisy image.

        `training` is the kind of training, score matching if left out.
        """
        from . import plugin

        settings = self.settings.resolved()
        self.model, self.log = plugin.fit(settings, inputs, train.target, channels_of, run, self.draw, training)

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the loss of training."""
        self.model.save(directory)
        self.log.save(directory)

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; the options of sampling are this method's own."""
        from . import plugin

        self.model = plugin.load(directory, self.Config, self.settings.resolved(), run)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]."""
        from . import plugin

        return plugin.translate(self.model, source, generators, self.draw)
