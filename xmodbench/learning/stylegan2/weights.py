"""Weights and settings of trained networks in a folder: safetensors and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from xmodbench.learning.training.state import named, part
from xmodbench.learning.training.weights import read_description, read_weights, save_model


def save_networks(directory: Path, networks: dict[str, nn.Module], settings) -> None:
    """Write weights and buffers, and the settings that belong to them."""
    save_model(directory, _tensors(networks), {"settings": settings.model_dump(mode="json")})


def stored_settings(directory: Path) -> dict[str, Any]:
    """The settings that `save_networks` wrote."""
    return read_description(directory)["settings"]


def load_networks(directory: Path, networks: dict[str, nn.Module], device: str) -> None:
    """Read into networks what `save_networks` wrote; they end on `device`, in evaluation mode, without gradients.

    Raises:
        UserError: the file is missing, damaged, or belongs to other networks.
    """
    tensors = read_weights(directory, _tensors(networks))
    for name, network in networks.items():
        network.load_state_dict(part(name, tensors))
        network.to(device).eval().requires_grad_(False)


def _tensors(networks: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {
        key: value for name, network in networks.items() for key, value in named(name, network.state_dict()).items()
    }
