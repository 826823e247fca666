"""A trained model's folder: weights as safetensors and what belongs to them as JSON, checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT_VERSION = 1
AGAIN = "train the model again"


def save_model(directory: Path, tensors: Mapping[str, torch.Tensor], description: dict[str, Any]) -> None:
    """Write weights and buffers, and the description that belongs to them."""
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, directory / WEIGHTS)
    write_json(directory / DESCRIPTION, {**description, "format": FORMAT_VERSION})


def read_description(directory: Path, *others: str) -> dict[str, Any]:
    """What `save_model` wrote beside the weights; there are ``settings`` in it, and `others`.

    Raises:
        UserError: the file is missing, damaged, or of a newer version.
    """
    path = directory / DESCRIPTION
    found = read_json(path)
    if not (isinstance(found, dict) and isinstance(found.get("settings"), dict) and found.keys() >= set(others)):
        raise UserError("describes no model", path, AGAIN)
    version = found.get("format", 1)  # models of old do not say
    if version != FORMAT_VERSION:
        problem = f"a model of format {version}, this xmodbench knows format {FORMAT_VERSION}"
        raise UserError(problem, path, f"use the xmodbench that trained it, or {AGAIN}")
    return found


def read_weights(directory: Path, wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that `save_model` wrote, on the CPU.

    Args:
        wanted: the ``state_dict`` of the network that they are for.

    Raises:
        UserError: the file is missing or damaged, it belongs to another network, or weights are not finite.
    """
    path = directory / WEIGHTS
    try:
        found = load_file(path)
    except Exception as error:  # safetensors and the file system each raise their own
        raise UserError(f"weights cannot be read ({str(error).splitlines()[0]})", path, AGAIN) from None
    problem = misfit(found, wanted) or not_finite(found)
    if problem:
        raise UserError(problem, path, AGAIN)
    return found


def misfit(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str | None:
    """One clause where tensors are not those of a network, by their names or shapes."""
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    parts = [
        f"{len(names)} {what} ('{names[0]}' first)"
        for names, what in ((missing, "missing"), (unknown, "unknown"))
        if names
    ]
    if parts:
        return f"holds the weights of another network: {', '.join(parts)}"
    for name, tensor in sorted(wanted.items()):
        if tensor.shape != found[name].shape:
            shapes = [tuple(one.shape) for one in (found[name], tensor)]
            return f"holds the weights of another network: '{name}' is {shapes[0]}, not {shapes[1]}"
    return None


def not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """One clause where values are NaN or infinite."""
    bad = {name: n for name, tensor in tensors.items() if (n := int(tensor.numel() - tensor.isfinite().sum()))}
    return f"{sum(bad.values()):,} weights are NaN or infinite (in '{min(bad)}' first)" if bad else None
