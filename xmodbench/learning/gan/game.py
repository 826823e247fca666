"""Networks that learn from each other: what the training loop needs to know of an adversarial method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.pool import ImagePool
from xmodbench.seeding import derive_seed


class Game(ABC):
    """The networks of a method, their optimisers and pools, and one step of training.

    Attributes:
        losses: names of what `step` returns.
        translator: the network that is kept after training, source to target, images in [-1, 1].
        joined: whether `each` takes batches as one; on a GPU, where single images leave most of it idle.
    """

    losses: ClassVar[tuple[str, ...]]
    translator: nn.Module

    def __init__(self, settings, device: str):
        self.settings, self.device, self.joined = settings, device, device != "cpu"
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.pools: dict[str, ImagePool] = {}

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

    def optimise(self, player: str, *networks: str) -> None:
        """Give the networks of a player one Adam together."""
        s = self.settings
        parameters = [parameter for name in networks for parameter in self.networks[name].parameters()]
        self.optimizers[player] = torch.optim.Adam(parameters, lr=s.learning_rate, betas=(s.beta1, 0.999))

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
