"""Networks that learn from each other: what the training loop needs to know of an adversarial method."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.pool import ImagePool
from xmodbench.learning.gan.schedule import learning_rate
from xmodbench.learning.image_noise import Noise
from xmodbench.seeding import derive_seed

Draw = Callable[[nn.Module, torch.Tensor, Noise], torch.Tensor]
"""How a translator translates sources [B,1,H,W] in [-1, 1], with a stream of noise."""


class Game(ABC):
    """The networks of a method, their optimisers and pools, and one step of training.

    Attributes:
        losses: names of what `step` returns.
        translator: the network that is kept after training, source to target, images in [-1, 1].
        averages: moving averages of networks' weights, by the networks' names; see `keep_average`.
        joined: whether `each` takes batches as one; on a GPU, where single images leave most of it idle.
    """

    losses: ClassVar[tuple[str, ...]]
    translator: nn.Module

    def __init__(self, settings, device: str):
        self.settings, self.device, self.joined = settings, device, device != "cpu"
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.pools: dict[str, ImagePool] = {}
        self.averages: dict[str, nn.Module] = {}

    @abstractmethod
    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update all networks once; returns the losses (scalars, detached).

        Args:
            batch: source and target slices.
            seed: of this step, for everything random in it; torch's global generator has been seeded with it.
        """

    def add(self, **networks: nn.Module) -> None:
        """Take networks into the game, on its device, ready for training."""
        for name, network in networks.items():
            self.networks[name] = network.to(self.device).train()

    def optimise(self, player: str, *networks: str, beta2: float = 0.999) -> None:
        """Give the networks of a player one Adam together."""
        s = self.settings
        self.optimizers[player] = torch.optim.Adam(self.weights(*networks), lr=s.learning_rate, betas=(s.beta1, beta2))

    def weights(self, *networks: str) -> list[nn.Parameter]:
        """What the networks learn."""
        return [parameter for name in networks for parameter in self.networks[name].parameters()]

    def rate(self, player: str, step: int, per_epoch: int) -> float:
        """Step size of a player's optimiser at `step`."""
        return learning_rate(self.settings, step, per_epoch)

    def keep_average(self, network: str) -> nn.Module:
        """Keep a moving average of a network's weights; returns the network that has them."""
        self.averages[network] = copy.deepcopy(self.networks[network]).eval().requires_grad_(False)
        return self.averages[network]

    def follow(self, step: int) -> None:
        """Move the averages towards the weights after `step`, at first faster than with the decay ``ema``."""
        decay = min(self.settings.ema, (1 + step) / (10 + step)) if self.averages else 0.0
        for name, average in self.averages.items():
            kept: list[torch.Tensor] = list(average.parameters())
            present: list[torch.Tensor] = [*self.weights(name)]
            with torch.no_grad():
                torch._foreach_lerp_(kept, present, 1 - decay)

    def update(self, player: str, loss: torch.Tensor) -> None:
        """One step of the player's optimiser."""
        self.optimizers[player].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[player].step()

    def shown(self, pool: str, images: torch.Tensor, seed: int) -> torch.Tensor:
        """What a discriminator sees of new translations: older ones among them."""
        return self.pools[pool].exchange(images, np.random.default_rng(derive_seed(seed, "pool", pool)))

    def each(self, network: nn.Module, *batches: torch.Tensor) -> Sequence[torch.Tensor]:
        """What a network makes of each batch [B,1,H,W]; it must look at single images, as instance normalisation does."""
        if not self.joined:
            return [network(images) for images in batches]
        return network(torch.cat(batches)).split([len(images) for images in batches])

    def autocast(self):
        """Context in which networks run in the precision asked for."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bf16")


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within the block, gradients pass through the networks but not into their weights."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
