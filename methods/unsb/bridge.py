"""The Brownian bridge from a source to what the generator takes for its translation (Kim et al. 2024, Eq. 8-11)."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Protocol

import torch

from xmodbench.learning.image_noise import Noise


class Seeing(Protocol):
    """What sees the end of a bridge.

    Attributes:
        times: see `times_of`.
        tau: variance of the whole bridge's noise.
        latent: numbers of a latent vector.
    """

    times: list[float]
    tau: float
    latent: int

    def __call__(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor, /) -> torch.Tensor:
        """The end [B,1,H,W], from images [B,1,H,W] at numbered times [B], with latents [B,latent]."""


def times_of(steps: int) -> list[float]:
    """Times 0 = t_0 < ... < t_steps = 1: the first step goes half the way, the others in proportion 1, 1/2, 1/3, ..."""
    sums = [0.0, *accumulate(1 / number for number in range(1, steps))]
    return [0.0, *((1 + done / sums[-1]) / 2 for done in sums)] if steps > 1 else [0.0, 1.0]


def step_of(times: list[float], number: int) -> tuple[float, float]:
    """Of the step to time `number`: the end's share in the mean, and the variance in units of tau."""
    length = times[number] - times[number - 1]
    share = length / (1 - times[number - 1])
    return share, length * (1 - share)


def walked(generator: Seeing, source: torch.Tensor, last: int, noise: Noise) -> torch.Tensor:
    """Images [B,1,H,W] at time number `last` of the bridges that begin at the sources, after as many evaluations."""
    x = source
    for number in range(last):
        end = seen_from(generator, x, number, noise)
        share, variance = step_of(generator.times, number + 1)
        x = (1 - share) * x + share * end + math.sqrt(variance * generator.tau) * noise()
    return x


def seen_from(generator: Seeing, x: torch.Tensor, number: int, noise: Noise) -> torch.Tensor:
    """The end of the bridge as the generator sees it from images at a numbered time."""
    return generator(x, torch.full((len(x),), number, device=x.device), latents(noise, generator.latent, x))


def latents(noise: Noise, count: int, like: torch.Tensor) -> torch.Tensor:
    """Vectors [B,count] of N(0, 1): the first values of noise images such as `like`, each slice's own."""
    images = math.ceil(count / like[0].numel())
    return torch.cat([noise().flatten(1) for _ in range(images)], 1)[:, :count]
