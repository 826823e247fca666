"""Weights and settings of trained networks in a folder: safetensors and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def save_networks(directory: Path, networks: dict[str, nn.Module], settings) -> None:
    """Write weights and buffers, and the settings that belong to them."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    save_file(tensors, directory / WEIGHTS)
    write_json(directory / DESCRIPTION, {"settings": settings.model_dump(mode="json")})


def stored_settings(directory: Path) -> dict[str, Any]:
    """The settings that `save_networks` wrote."""
    return read_json(directory / DESCRIPTION)["settings"]


def load_networks(directory: Path, networks: dict[str, nn.Module], device: str) -> None:
    """Read into networks what `save_networks` wrote; they end on `device`, in evaluation mode, without gradients.

    Raises:
        UserError: the file is missing, damaged, or belongs to other networks.
    """
    try:
        tensors = load_file(directory / WEIGHTS)
        for name, network in networks.items():
            own = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(own)
    except Exception as error:  # safetensors, torch and the file system each raise their own
        problem = f"weights cannot be read ({str(error).splitlines()[0]})"
        raise UserError(problem, directory / WEIGHTS, "train the model again") from None
    for network in networks.values():
        network.to(device).eval().requires_grad_(False)
