"""One network that learns from pairs of slices: a game without an opponent."""

from __future__ import annotations

import torch
from torch import nn

from xmodbench.learning.gan.game import Game
from xmodbench.learning.gan.schedule import cosine_rate


class PairedGame(Game):
    """Trains one network with AdamW; its averaged weights translate.

    Args:
        settings: resolved `PairedSettings`.
        network: untrained.
    """

    def __init__(self, settings, device: str, network: nn.Module):
        super().__init__(settings, device)
        s = settings
        self.add(network=network)
        self.optimizers["network"] = torch.optim.AdamW(
            self.weights("network"), lr=s.learning_rate, weight_decay=s.weight_decay
        )
        self.translator = self.keep_average("network")

    def rate(self, player: str, step: int, per_epoch: int) -> float:
        """Half a cosine for every player."""
        return cosine_rate(self.settings, step, per_epoch, self.settings.last_rate)
