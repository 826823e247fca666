"""Training of adversarial methods."""

from __future__ import annotations

import numpy as np
import torch

from xmodbench.learning.gan.batches import Batches
from xmodbench.learning.gan.game import Draw, Game
from xmodbench.learning.gan.schedule import total_steps
from xmodbench.learning.image_noise import image_noise
from xmodbench.learning.training import loop
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.state import fingerprint, named, optimizer_tensors, part, restore_optimizer
from xmodbench.plugins import Run
from xmodbench.seeding import ImageGenerator, derive_seed


def train(game: Game, batches: Batches, run: Run, draw: Draw) -> LossLog:
    """Train the networks of `game` in place; they end in evaluation mode. `draw` translates, for snapshots.

    Raises:
        UserError, SystemExit: see `xmodbench.learning.training.loop.train`.
    """
    return loop.train(GameTraining(game, batches, run, draw), run)


SLICES = 3  # in a snapshot


class GameTraining(loop.Training):
    """A game played over and over."""

    name = "gan"

    def __init__(self, game: Game, batches: Batches, run: Run, draw: Draw):
        self.draw = draw
        self.game, self.batches, self.job, self.settings = game, batches, run, game.settings
        self.columns = game.losses
        self.steps = total_steps(self.settings, batches.per_epoch)
        self.fingerprint = fingerprint(self.settings, (batches.source, batches.target), run.seed)

    def step(self, step: int) -> list[torch.Tensor]:
        """One update of all networks; the game's losses."""
        for player, optimizer in self.game.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.game.rate(player, step, self.batches.per_epoch)
        seed = derive_seed(self.job.seed, "game", step)
        torch.manual_seed(seed)
        losses = self.game.step(self.batches.at(step, self.job.device), seed)
        self.game.follow(step)
        return [losses[name] for name in self.columns]

    def learning_rate(self, step: int) -> float:
        """The first player's step size in `step`."""
        return self.game.rate(next(iter(self.game.optimizers)), step, self.batches.per_epoch)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, their averages, Adam's moments and the pools' images."""
        tensors: dict[str, torch.Tensor] = {}
        for name, network in self.game.networks.items():
            tensors |= named(f"network.{name}", network.state_dict())
        for name, network in self.game.averages.items():
            tensors |= named(f"average.{name}", network.state_dict())
        for name, optimizer in self.game.optimizers.items():
            tensors |= named(f"optimizer.{name}", optimizer_tensors(optimizer))
        for name, pool in self.game.pools.items():
            tensors |= {f"pool.{name}.{index}": image for index, image in enumerate(pool.images)}
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        for name, network in self.game.networks.items():
            network.load_state_dict(part(f"network.{name}", tensors))
        for name, network in self.game.averages.items():
            network.load_state_dict(part(f"average.{name}", tensors))
        for name, optimizer in self.game.optimizers.items():
            restore_optimizer(optimizer, part(f"optimizer.{name}", tensors))
        for name, pool in self.game.pools.items():
            kept = part(f"pool.{name}", tensors)
            pool.images = [kept[str(index)].to(self.job.device) for index in range(len(kept))]

    @torch.inference_mode()
    def preview(self) -> np.ndarray:
        """Source slices above their translations by the present generator."""
        source, network = self.batches.source, self.game.translator
        rows = np.unique(np.linspace(0, len(source) - 1, SLICES + 2).round().astype(int)[1:-1])
        shown = torch.from_numpy(np.stack([source[row] for row in rows])).to(self.job.device)
        generators = [ImageGenerator.of(self.job.seed, f"snapshot {row}") for row in rows]
        noise = image_noise(generators, source.shape[2:], self.job.device)
        training = network.training
        found = ((self.draw(network.eval(), 2 * shown - 1, noise) + 1) / 2).clamp(0, 1)
        network.train(training)
        return torch.stack([shown[:, 0], found[:, 0]]).float().cpu().numpy()

    def finish(self) -> None:
        """Networks in evaluation mode."""
        for network in self.game.networks.values():
            network.eval()
