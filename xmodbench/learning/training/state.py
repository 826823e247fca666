"""State of a training job for resuming: tensors as safetensors, the rest as JSON, replaced as a whole."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, read_json, sha256_json, write_json

TERMINATED = 128 + signal.SIGTERM


def fingerprint(
    settings: BaseModel, arrays: Iterable[np.ndarray], *others: object, fields: frozenset[str] | None = None
) -> str:
    """Hash of what decides a training: the state of one with another is not resumed.

    Args:
        settings: all but how often the state is saved and how many snapshots are taken counts, or of them only `fields`.
        arrays: what is trained on.
        others: what else there is, such as the seed and the number of processes.
    """
    included = None if fields is None else set(fields)
    decisive = settings.model_dump(mode="json", include=included, exclude={"snapshots", "checkpoint_s"})
    data = [f"{array.shape} {float(np.mean(array, dtype=np.float64))!r}" for array in arrays]
    return sha256_json([decisive, data, *others])


def save_state(
    folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any], others: Callable[[Path], None] | None = None
) -> None:
    """Write the state; `others` writes further files into the folder it is given, `facts` is written last."""
    with atomic_dir(folder) as temporary:
        if others:
            others(temporary)
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary / "state.safetensors")
        write_json(temporary / "state.json", facts)


def load_state(folder: Path, fingerprint: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """The state of a job with the same `fingerprint` (settings, data, seed), or None where there is none."""
    try:
        facts = read_json(folder / "state.json")
        if facts.get("fingerprint") == fingerprint:
            return load_file(folder / "state.safetensors"), facts
    except (UserError, OSError, ValueError, SafetensorError):
        pass  # no state, or a damaged one: training starts from the beginning
    return None


def named(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with ``prefix.`` before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The reverse of `named`: those of the tensors that have the prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments as a flat dict ``<parameter index>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """The reverse of `optimizer_tensors`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@contextmanager
def termination_noticed() -> Iterator[list[int]]:
    """Yield a list that is no longer empty once SIGTERM has come (schedulers send it before they kill)."""
    received: list[int] = []
    try:
        previous = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)
