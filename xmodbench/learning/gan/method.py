"""What every adversarial plugin answers the same way. Imports neither NumPy nor torch at its top, as plugins must not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmodbench.plugins import FewShot, Method, Run, TrainData
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from xmodbench.learning.image_noise import Noise

    from .game import Game
    from .plugin import Translator


class GanMethod(Method):
    """A method whose model is a generator, trained in a game; subclasses say which."""

    model: Translator

    @abstractmethod
    def generator(self, settings: Any) -> nn.Module:
        """An untrained generator for resolved settings of class ``Config``."""

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the losses of training."""
        self.model.save(directory)

    def load(self, directory: Path, run: Run) -> None:
        """Read a model."""
        from .plugin import Translator

        self.model = Translator.load(directory, self.Config, self.generator, run)

    def draw(self, network: nn.Module, source: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translations of sources [B,1,H,W] in [-1, 1] by the generator; by default one evaluation, without noise."""
        return network(source)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]."""
        return self.model.translate(source, generators, self.draw)


class FewShotGan(GanMethod, FewShot):
    """A game between all slices of the target and a few of the source, unpaired."""

    @abstractmethod
    def game(self, settings: Any, device: str) -> Game:
        """The networks and losses for resolved settings of class ``Config``, a `FewShotSettings`."""

    def source_slices(self, available: int) -> int:
        """The stated share or number of the source slices there are."""
        return self.settings.source_slices(available)

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on all target slices and the drawn source slices."""
        from .plugin import fit

        self.model = fit(self.settings.resolved(), self.game, train, run, paired=False, draw=self.draw)
