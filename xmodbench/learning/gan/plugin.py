"""What the adversarial plugins have in common: training, the model folder and translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xmodbench.errors import UserError
from xmodbench.learning.gan.batches import Batches
from xmodbench.learning.gan.game import Draw, Game
from xmodbench.learning.gan.layers import Dropout
from xmodbench.learning.gan.networks import PatchDiscriminator
from xmodbench.learning.gan.training import train
from xmodbench.learning.image_noise import image_noise
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.weights import DESCRIPTION, read_description, read_weights, save_model
from xmodbench.plugins import Run, TrainData
from xmodbench.plugins.settings import validated
from xmodbench.seeding import ImageGenerator, derive_seed


@dataclass
class Translator:
    """A trained generator with the resolved settings it was trained with, and the losses of training."""

    settings: Any
    network: nn.Module
    log: LossLog | None = None

    def save(self, directory: Path) -> None:
        """Write weights, settings and, after training, the losses."""
        settings = self.settings.model_dump(mode="json", exclude=set(self.settings.SAMPLING))
        save_model(directory, self.network.state_dict(), {"settings": settings})
        if self.log is not None:
            self.log.save(directory)

    @classmethod
    def load(cls, directory: Path, config: type, network_of: Callable[[Any], nn.Module], run: Run) -> Translator:
        """Read what `save` wrote; `network_of` makes the generator for settings of class `config`.

        Raises:
            UserError: a file is missing, damaged, of a newer version, or belongs to another network.
        """
        run.use_threads()
        stored = read_description(directory)["settings"]
        settings = validated(config, stored, str(directory / DESCRIPTION), "settings").resolved()
        network = network_of(settings)
        network.load_state_dict(read_weights(directory, network.state_dict()))
        return cls(settings, network.to(run.device).eval())

    @torch.inference_mode()
    def translate(
        self, source: np.ndarray, generators: Sequence[ImageGenerator], draw: Draw, dropout: bool = False
    ) -> np.ndarray:
        """Translate ``source`` [N,1,H,W] in [0, 1]; `dropout` is kept on if asked for, drawn from each image's generator.

        On a CPU image by image: convolutions round differently in batches of different size, and a result must not depend
        on how many images were asked for at once.
        """
        device = next(self.network.parameters()).device
        size = 1 if device.type == "cpu" else len(source)
        dropouts = [module for module in self.network.modules() if isinstance(module, Dropout)]
        found = []
        for start in range(0, len(source), size):
            part = slice(start, start + size)
            for module in dropouts:
                module.generators = [one.torch for one in generators[part]] if dropout else None
            x = torch.from_numpy(np.array(source[part])).to(device)
            noise = image_noise(generators[part], source.shape[2:], str(device))
            found.append(((draw(self.network, 2 * x - 1, noise) + 1) / 2).clamp(0, 1).float().cpu().numpy())
        return np.concatenate(found)


def fit(
    settings,
    game_of: Callable[[Any, str], Game],
    train_data: TrainData,
    run: Run,
    paired: bool,
    draw: Draw,
) -> Translator:
    """Train a game on the target's and the source's slices, in pairs or not; notes its size in `run.facts`.

    `draw` is how its translator translates, for snapshots.

    Raises:
        UserError: slices too small for the discriminator, or losses that are not finite.
    """
    run.use_threads()
    source, target = train_data.source, train_data.target
    assert source is not None  # no adversarial method is zero-shot
    torch.manual_seed(derive_seed(run.seed, "weights"))
    game = game_of(settings, run.device)
    judges = [network for network in game.networks.values() if isinstance(network, PatchDiscriminator)]
    shortest, needed = min(target.shape[2:]), max((judge.smallest_side for judge in judges), default=1)
    if shortest < needed:
        problem = f"slices of {shortest} pixels are too small for discriminator_layers {settings.discriminator_layers}"
        raise UserError(f"{problem} (at least {needed})", "training", "use fewer layers or larger slices")
    log = train(game, Batches(source, target, settings, run.seed, paired), run, draw)
    run.facts.update(
        parameters={name: sum(p.numel() for p in network.parameters()) for name, network in game.networks.items()},
        final_losses={name: log.last()[name] for name in game.losses},
    )
    return Translator(settings, game.translator, log)
