"""Conditional flow matching along straight paths (Lipman et al. 2023; Liu et al. 2023), from noise or from the source."""

from __future__ import annotations

from collections.abc import Callable

import torch

Velocity = Callable[[torch.Tensor, float], torch.Tensor]
"""Velocity [B, ...] at points [B, ...] and a time in [0, 1]."""


def on_the_way(start: torch.Tensor, end: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points ``(1 - t) start + t end`` of straight paths [B, ...] at times `t` [B], and their velocity ``end - start``."""
    t = t.reshape(-1, *[1] * (start.ndim - 1))
    return (1 - t) * start + t * end, end - start


def euler(velocity: Velocity, x: torch.Tensor, steps: int) -> torch.Tensor:
    """From points `x` at time 0 to time 1 in `steps` equal steps of Euler, each of one evaluation."""
    for step in range(steps):
        x = x + velocity(x, step / steps) / steps
    return x
