"""Normally distributed numbers as a function of (seed, draw, place): Philox 4x32-10 (Salmon et al. 2011), on any device.

A generator without a state: no number depends on how many images share a batch, on what was drawn before or on the GPU, and
nothing is drawn on the host and copied. A fused kernel makes them on CUDA (`philox_triton`), plain tensors elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch

from xmodbench.learning.trial import works

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
_LOW = 0xFFFFFFFF

Words = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def philox(counter: Words, key: tuple[torch.Tensor, torch.Tensor]) -> Words:
    """Four random words of 32 bits for a counter of four and a key of two: int64 tensors of shapes that broadcast."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(ROUNDS):
        # a product wraps beyond 64 bits, and its lower 64 are right; a shifted sign is masked away
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b = (second >> 32 & _LOW) ^ b ^ k, second & _LOW
        c, d = (first >> 32 & _LOW) ^ d ^ m, first & _LOW
        k, m = k + WEYL[0] & _LOW, m + WEYL[1] & _LOW
    return a, b, c, d


def normal(seeds: torch.Tensor, draws: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Numbers ~ N(0, 1), float32 ``[B, *size]``.

    Args:
        seeds: one for each image, not negative, int64 ``[B]`` on the device of the result.
        draws: which of an image's draws this is, int64 ``[B]``.
        size: of an image; a number's place in it decides it too.
    """
    if seeds.is_cuda and _kernel_works(seeds.device):
        from . import philox_triton

        return philox_triton.normal(seeds, draws, size)
    return normal_of_tensors(seeds, draws, size)


def normal_of_tensors(seeds: torch.Tensor, draws: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """`normal` by plain tensors."""
    count = math.prod(size)
    index = torch.arange((count + 3) // 4, device=seeds.device)
    zero = torch.zeros_like(index)
    key = seeds[:, None] & _LOW, seeds[:, None] >> 32
    words = philox((index, draws[:, None] & _LOW, zero, zero), key)
    radius = [(-2 * _uniform(word).log()).sqrt() for word in words[::2]]
    angle = [2 * math.pi * _uniform(word) for word in words[1::2]]
    parts = [r * turn(a) for r, a in zip(radius, angle, strict=True) for turn in (torch.cos, torch.sin)]
    return torch.cat(parts, 1)[:, :count].reshape(len(seeds), *size)


def _uniform(word: torch.Tensor) -> torch.Tensor:
    """Words of 32 bits to float32 in (0, 1]."""
    return (word.float() + 0.5) * 2.0**-32


@cache
def _kernel_works(device: torch.device) -> bool:
    """Whether the fused kernel makes the same numbers here, tried once: it is compiled on the user's machine."""
    seeds = torch.tensor([1, 2**62 + 12345], device=device)

    def made() -> torch.Tensor:
        from . import philox_triton

        return philox_triton.normal(seeds, seeds % 7, (5, 26))

    return works("kernel of random numbers", "numbers are", made, normal_of_tensors(seeds, seeds % 7, (5, 26)), 1e-4)
