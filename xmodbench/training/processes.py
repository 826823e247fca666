"""Several processes that train one model together, started by ``accelerate launch`` or ``torchrun``."""

from __future__ import annotations

import os

import torch
from torch import distributed


def world() -> int:
    """How many processes the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Which of them this is; 0 is the main process, which alone writes."""
    return int(os.environ.get("RANK", 0))


def agree(said: list[bool], device: str) -> list[bool]:
    """For each question whether any of the processes said yes."""
    if world() == 1:
        return said
    votes = torch.tensor(said, dtype=torch.int32, device=device)
    distributed.all_reduce(votes, distributed.ReduceOp.MAX)
    return [bool(vote) for vote in votes.tolist()]


def average(values: torch.Tensor) -> None:
    """Put the mean over the processes into `values`."""
    if world() > 1:
        distributed.all_reduce(values)
        values /= world()


def wait_for_all() -> None:
    """Return once all processes have come here; does nothing without a launcher or before they were connected."""
    if world() > 1 and distributed.is_initialized():
        distributed.barrier()
