"""Noise for translation, of which every image has its own stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from xmodbench.devices import handed
from xmodbench.learning.philox import normal
from xmodbench.seeding import ImageGenerator

Noise = Callable[[], torch.Tensor]
"""Draws a fresh ``N(0, I)`` of a batch's shape at each call."""


def image_noise(generators: Sequence[ImageGenerator], size: tuple[int, int], device: str) -> Noise:
    """Noise [B, 1, H, W] in which every image has its own stream, seeded by its generator.

    On a CPU it is that of torch's generators. On a GPU, where copying it would take longer than a step, `philox` makes it
    there from each image's seed: another stream, the same on every GPU.
    """
    if device != "cpu":
        return _counted_noise([one.seed for one in generators], size, device)

    def draw() -> torch.Tensor:
        return torch.stack([torch.randn((1, *size), generator=one.torch) for one in generators])

    return draw


def _counted_noise(seeds: list[int], size: tuple[int, int], device: str) -> Noise:
    keys = handed(torch.tensor(seeds), device)
    number = torch.zeros_like(keys)

    def draw() -> torch.Tensor:
        found = normal(keys, number, (1, *size))
        number.add_(1)
        return found

    return draw
