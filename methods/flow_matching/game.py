"""One step of flow matching on pairs, and translation by its network."""

from __future__ import annotations

import torch
from torch.nn import functional

from xmodbench.learning.diffusion.networks import DenoisingNetwork
from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.image_noise import Noise
from xmodbench.learning.paired.game import PairedGame

from .flow import euler, on_the_way


class VelocityNetwork(DenoisingNetwork):
    """A U-Net that answers with the velocity; on the way from noise it sees the source beside the point.

    Args:
        settings: resolved `FlowSettings`.
    """

    def __init__(self, settings):
        s = settings
        super().__init__(s.network, 2 if s.path == "noise" else 1, s.width, s.dropout)
        self.settings = s

    def inside(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] in the range that paths end in."""
        return images if self.settings.data_range == "-1,1" else (images + 1) / 2

    def outside(self, x: torch.Tensor) -> torch.Tensor:
        """The reverse of `inside`."""
        return x if self.settings.data_range == "-1,1" else 2 * x - 1

    def velocity(self, x: torch.Tensor, t: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """At points `x` [B,1,H,W] of paths at times `t` [B] that belong to sources [B,1,H,W], all inside."""
        seen = torch.cat([x, source], 1) if self.settings.path == "noise" else x
        return self(seen, self.settings.time_scale * t)


def translated(network: VelocityNetwork, source: torch.Tensor, noise: Noise, steps: int) -> torch.Tensor:
    """Translations of sources [B,1,H,W] in [-1, 1] by `steps` evaluations."""
    inside = network.inside(source)
    start = noise() if network.settings.path == "noise" else inside

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        return network.velocity(x, torch.full((len(x),), t, device=x.device), inside).float()

    return network.outside(euler(velocity, start, steps))


class FlowGame(PairedGame):
    """A network that learns the mean velocity of all paths through a point."""

    losses = ("error",)

    def __init__(self, settings, device: str):
        super().__init__(settings, device, VelocityNetwork(settings))

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update the network at a random time of each pair's path."""
        network = self.networks["network"]
        source, target = network.inside(batch.source), network.inside(batch.target)
        t = torch.rand(len(source)).to(source.device)
        start = source if self.settings.path == "source" else torch.randn(source.shape).to(source.device)
        x, wanted = on_the_way(start, target, t)
        with self.autocast():
            found = network.velocity(x, t, source)
        error = functional.mse_loss(found.float(), wanted)
        self.update("network", error)
        return {"error": error}
