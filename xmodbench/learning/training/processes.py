"""Several processes that train one model together, started by ``accelerate launch`` or ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def world() -> int:
    """How many processes the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Which of them this is; 0 is the main process, which alone writes."""
    return int(os.environ.get("RANK", 0))


def agree(said: list[bool], device: str) -> list[bool]:
    """For each question whether any of the processes said yes."""
    return [bool(vote) for vote in _largest([int(answer) for answer in said], device)]


def same(number: int, device: str) -> bool:
    """Whether all processes have the same number."""
    largest, negated = _largest([number, -number], device)
    return largest == -negated


def _largest(numbers: list[int], device: str) -> list[int]:
    if world() == 1:
        return numbers
    import torch
    from torch import distributed

    found = torch.tensor(numbers, dtype=torch.int64, device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.tolist()


def average(values: torch.Tensor) -> None:
    """Put the mean over the processes into `values`."""
    if world() > 1:
        from torch import distributed

        distributed.all_reduce(values)
        values /= world()


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Put the mean over the processes into the gradients, in one message."""
    if world() == 1:
        return
    import torch

    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    message = torch.cat([gradient.flatten() for gradient in gradients])
    average(message)
    for gradient, mean in zip(gradients, message.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def join(device: str) -> None:
    """Meet the other processes, each on a GPU of its own where `device` is ``cuda``; nothing to do where there is one."""
    if world() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu")


def separate() -> None:
    """Wait until all processes have come here, then let go of each other; nothing to do where there is one."""
    if world() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
