"""A trained GAN, the first phase of in-domain inversion: its folder and its training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xmodbench.errors import UserError
from xmodbench.learning.training import processes
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.loop import train
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed

from .batches import nearest_resolution
from .discriminator import Discriminator
from .generator import Generator
from .settings import PRETRAINING_SETTINGS, StyleganSettings
from .training import GanTraining
from .weights import load_networks, save_networks, stored_settings


@dataclass
class Gan:
    """Both networks of a GAN of target slices, in evaluation mode and without gradients.

    Attributes:
        settings: resolved `StyleganSettings`.
        generator: the averaged one, with its noise maps.
        log: losses of its training.
    """

    settings: Any
    generator: Generator
    discriminator: Discriminator
    log: LossLog

    def networks(self) -> dict[str, nn.Module]:
        """All that is kept, by name."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def save(self, directory: Path) -> None:
        """Write weights, settings and the losses of training."""
        save_networks(directory, self.networks(), self.settings)
        self.log.save(directory)

    @classmethod
    def load(cls, directory: Path, config: StyleganSettings, run: Run) -> Gan:
        """Read what `save` wrote.

        Args:
            config: what its training must have been asked for.

        Raises:
            UserError: it was asked for something else; a file is missing or damaged.
        """
        stored = stored_settings(directory)
        settings = config.resolved(stored["resolution"])
        wanted = settings.model_dump(mode="json", include=set(PRETRAINING_SETTINGS - {"checkpoint_s", "snapshots"}))
        differing = sorted(name for name in wanted if wanted[name] != stored.get(name))
        if differing:
            name = differing[0]
            problem = f"was trained with {name} {stored.get(name)}, not {wanted[name]}"
            raise UserError(problem, directory, "pretrain again with these settings")
        gan = cls(settings, Generator(settings), Discriminator(settings), LossLog.load(directory))
        load_networks(directory, gan.networks(), run.device)
        return gan


def pretrain(config: StyleganSettings, images: np.ndarray, run: Run) -> Gan:
    """Train a GAN on target slices [N,1,H,W] in [0, 1]; may be killed and resumed.

    Raises:
        UserError: gradients or losses are not finite.
        SystemExit: SIGTERM came; the state has been saved.
    """
    run.use_threads()
    settings = config.resolved(nearest_resolution(*images.shape[2:]))
    torch.manual_seed(derive_seed(run.seed, "weights"))
    training = GanTraining(settings, images, run)
    run.progress.say(f"GAN at {settings.resolution} px, {training.steps} steps of {settings.batch_size} slices")
    log = train(training, run)
    gan = Gan(settings, training.average, training.discriminator, log)
    run.facts.update(
        resolution=settings.resolution,
        parameters={name: sum(p.numel() for p in network.parameters()) for name, network in gan.networks().items()},
        augment_p=training.controller.p,
        repaired_gradients=int(training.gradients.repaired.item()),
        processes=processes.world(),
        final_losses={"gan": log.last()} if log.rows else {},
    )
    return gan
