"""State of a training job for resuming: tensors as safetensors, the rest as JSON, replaced as a whole."""

from __future__ import annotations

import shutil
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
from xmodbench.files import atomic_file, read_json, sha256_file, sha256_json, write_json

STATE, FORMAT_VERSION = "state.json", 1
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
    """Write the state; `others` writes further files into the folder it is given.

    A job killed at any moment leaves this state or the one before: ``state.json``, with the facts and the name of the
    file of tensors that belongs to them, is replaced in the end.
    """
    _forget_others(folder, facts["fingerprint"])
    folder.mkdir(parents=True, exist_ok=True)
    if others:
        others(folder)
    written = folder / "new.safetensors"
    with atomic_file(written) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary)
    sha256 = sha256_file(written)
    kept = written.rename(folder / f"{sha256[:16]}.safetensors")
    write_json(folder / STATE, {**facts, "format": FORMAT_VERSION, "tensors": kept.name, "tensors_sha256": sha256})
    for path in folder.iterdir():  # of earlier states, and what killed jobs left half-written
        if path != kept and (path.suffix == ".safetensors" or path.suffix.startswith(".tmp-")):
            path.unlink()


def _forget_others(folder: Path, fingerprint: str) -> None:
    """Remove the state of another job, whose snapshots would pass for this one's."""
    try:
        same = read_json(folder / STATE)["fingerprint"] == fingerprint
    except (UserError, OSError, TypeError, KeyError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)


def load_state(
    folder: Path, fingerprint: str, say: Callable[[str], object] = str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """The state of a job with the same `fingerprint` (settings, data, seed), or None where training has to begin anew.

    Args:
        say: told why a state that is there is of no use.

    Raises:
        UserError: the state is of a newer version; beginning anew would destroy it.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        facts = read_json(path)
        newer = facts["format"] > FORMAT_VERSION
        if not newer and facts["fingerprint"] == fingerprint:
            return _tensors(folder, facts), facts
    except (UserError, OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        say(f"the state in {folder} is damaged ({' '.join(str(error).split())}); training begins anew")
        return None
    if newer:
        problem = f"a state of format {facts['format']}, this xmodbench knows format {FORMAT_VERSION}"
        raise UserError(problem, path, "use the xmodbench that wrote it, or delete the folder to begin anew")
    say(f"the state in {folder} is of other settings, data or seed; training begins anew")
    return None


def _tensors(folder: Path, facts: dict[str, Any]) -> dict[str, torch.Tensor]:
    path = folder / facts["tensors"]
    if sha256_file(path) != facts["tensors_sha256"]:
        raise ValueError(f"{path.name} is not what was written")
    return load_file(path)


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
    """The reverse of `optimizer_tensors`, after at least one step.

    Raises:
        ValueError: the moments are missing, or those of other parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    if not state or max(state) >= len(parameters):
        raise ValueError(f"an optimiser's moments of {len(state)} parameters, it has {len(parameters)}")
    for index, entry in state.items():
        if any(value.dim() and value.shape != parameters[index].shape for value in entry.values()):
            raise ValueError(f"an optimiser's moments of parameter {index} have another shape")
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
