"""A trained diffusion model: network, noise process and what it is conditioned on; kept as safetensors and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json

from .networks import DenoisingNetwork, network_of
from .schedules import Process, process_of

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
Condition = Callable[[torch.Tensor], torch.Tensor | None]
"""Extra input channels [B, k, H, W] for a noisy image [B, 1, H, W] given in the units of the images, [0, 1]."""


def unconditional(noisy: torch.Tensor) -> None:
    """No extra channels."""
    return None


@dataclass
class DiffusionModel:
    """A network with the process and settings it was trained for.

    ``settings`` are resolved `DiffusionSettings`.
    """

    settings: Any
    network: DenoisingNetwork
    process: Process

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
        save_file(_contiguous(self.network.state_dict()), directory / WEIGHTS)
        settings = self.settings.model_dump(mode="json", exclude=set(self.settings.SAMPLING))
        write_json(directory / DESCRIPTION, {"inputs": self.network.inputs, "settings": settings})

    @classmethod
    def load(cls, directory: Path, config: type) -> DiffusionModel:
        """Read what `save` wrote; `config` is the settings' class.

        Raises:
            UserError: a file is missing, damaged, or belongs to another network.
        """
        description = read_json(directory / DESCRIPTION)
        model = cls.new(config(**description["settings"]).resolved(), description["inputs"])
        try:
            model.network.load_state_dict(load_file(directory / WEIGHTS))
        except Exception as error:  # safetensors, torch and the file system each raise their own
            problem = f"weights cannot be read ({str(error).splitlines()[0]})"
            raise UserError(problem, directory / WEIGHTS, "train the model again") from None
        model.network.eval()
        return model


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
