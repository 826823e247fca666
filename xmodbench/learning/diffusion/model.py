"""A trained diffusion model: network, noise process and what it is conditioned on; kept as safetensors and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xmodbench.learning.denoising_gan.ncsnpp import Ncsnpp
from xmodbench.learning.training.weights import DESCRIPTION, read_description, read_weights, save_model
from xmodbench.plugins.settings import validated

from .networks import DenoisingNetwork, network_of
from .schedules import Process, process_of

if TYPE_CHECKING:
    from .evaluations import Evaluations

Condition = Callable[[torch.Tensor], torch.Tensor | None]
"""Extra input channels [B, k, H, W] for a noisy image [B, 1, H, W] given in the units of the images, [0, 1]."""


def unconditional(noisy: torch.Tensor) -> None:
    """No extra channels."""
    return None


@dataclass
class DiffusionModel:
    """A network with the process and settings it was trained for.

    ``settings`` are resolved `DiffusionSettings`. Where a GPU is to replay the network's evaluations, ``evaluations`` keeps
    them; a copy with `dataclasses.replace` has none.
    """

    settings: Any
    network: DenoisingNetwork | Ncsnpp
    process: Process
    evaluations: Evaluations | None = field(default=None, init=False)

    @classmethod
    def new(cls, settings, inputs: int) -> DiffusionModel:
        """An untrained model; the weights come from torch's global generator."""
        return cls(settings, network_of(settings, inputs), process_of(settings))

    def inside(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] in the range used inside the diffusion."""
        return images if self.settings.data_range == "0,1" else 2 * images - 1

    def outside(self, x: torch.Tensor) -> torch.Tensor:
        """The reverse of `inside`, for noisy images as well; not clipped."""
        return x if self.settings.data_range == "0,1" else (x + 1) / 2

    def answer(self, x: torch.Tensor, t: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        """The network's answer for ``x_t`` [B,1,H,W] at times `t` [B] with extra channels."""
        scaled = self.process.input_scale(t, x) * x
        return self.network(scaled if extra is None else torch.cat([scaled, extra], 1), t)

    def save(self, directory: Path) -> None:
        """Write weights and resolved settings, without those of sampling."""
        settings = self.settings.model_dump(mode="json", exclude=set(self.settings.SAMPLING))
        save_model(directory, self.network.state_dict(), {"inputs": self.network.inputs, "settings": settings})

    @classmethod
    def load(cls, directory: Path, config: type) -> DiffusionModel:
        """Read what `save` wrote; `config` is the settings' class.

        Raises:
            UserError: a file is missing, damaged, of a newer version, or belongs to another network.
        """
        description = read_description(directory, "inputs")
        settings = validated(config, description["settings"], str(directory / DESCRIPTION), "settings")
        model = cls.new(settings.resolved(), description["inputs"])
        model.network.load_state_dict(read_weights(directory, model.network.state_dict()))
        model.network.eval()
        return model
