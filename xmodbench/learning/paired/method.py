"""What plugins answer the same way that train one U-Net on pairs. Imports neither NumPy nor torch at its top."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from xmodbench.learning.gan.method import GanMethod
from xmodbench.plugins import Run, Supervision, TrainData

if TYPE_CHECKING:
    from xmodbench.learning.gan.game import Game


class PairedMethod(GanMethod):
    """A method that sees every training slice in both modalities."""

    supervision = Supervision.PAIRED

    @abstractmethod
    def game(self, settings: Any, device: str) -> Game:
        """Network and losses for resolved settings of class ``Config``, a `PairedSettings`."""

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on all pairs."""
        from xmodbench.learning.gan.plugin import fit

        self.model = fit(self.settings.resolved(), self.game, train, run, paired=True, draw=self.draw)
