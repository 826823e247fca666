"""Augmentation of what the discriminator sees, the pipelines ``bg`` and ``bgc`` (Karras et al. 2020, NeurIPS, appendix B).

Every operation happens to an image with probability p, independently of the others. Hue and saturation do not exist in grey
images; the filter, noise and cutout groups are not part of ``bgc``.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from .resampling import rotation, scaling, translation, warp

Pipeline = Literal["bgc", "bg", "none"]


def maps(x: torch.Tensor, p: float) -> torch.Tensor:
    """Draw geometric maps for the images ``x`` [N,1,H,W]: ``[N, 3, 3]``, from places in the result to places in `x`.

    They are on the CPU whatever device `x` is on: images are extended by what the maps need, and asking a GPU makes it wait.
    """
    n, size = len(x), torch.tensor([x.shape[3], x.shape[2]])
    x = torch.empty(0, dtype=x.dtype)

    def happens(chance: float, value: torch.Tensor, otherwise: float) -> torch.Tensor:
        drawn = torch.rand(n) < chance
        return torch.where(drawn if value.ndim == 1 else drawn[:, None], value, torch.full_like(value, otherwise))

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(n, *shape)

    def normal(deviation: float, *shape: int) -> torch.Tensor:
        return torch.randn(n, *shape) * deviation

    p_turn = 1 - math.sqrt(1 - p)  # of two rotations, so that either happens with probability p
    inverse = scaling(x, 1 - 2 * happens(p, (2 * uniform()).floor(), 0.0), 1.0)
    inverse = inverse @ rotation(x, math.pi / 2 * happens(p, (4 * uniform()).floor(), 0.0))
    shift = (happens(p, 0.25 * uniform(2) - 0.125, 0.0) * size).round()
    inverse = inverse @ translation(x, -shift[:, 0], -shift[:, 1])
    factor = happens(p, 2 ** normal(0.2), 1.0)
    inverse = inverse @ scaling(x, 1 / factor, 1 / factor)
    inverse = inverse @ rotation(x, happens(p_turn, (2 * uniform() - 1) * math.pi, 0.0))
    factor = happens(p, 2 ** normal(0.2), 1.0)
    inverse = inverse @ scaling(x, 1 / factor, factor)
    inverse = inverse @ rotation(x, happens(p_turn, (2 * uniform() - 1) * math.pi, 0.0))
    shift = happens(p, normal(0.125, 2), 0.0) * size
    return inverse @ translation(x, -shift[:, 0], -shift[:, 1])


def colours(x: torch.Tensor, p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a factor and a summand [N,1,1,1] for the grey levels of each image: brightness, contrast, inversion."""
    n, device = len(x), x.device

    def happens(value: torch.Tensor, otherwise: float) -> torch.Tensor:
        return torch.where(torch.rand(n, device=device) < p, value, torch.full_like(value, otherwise))

    brightness = happens(0.2 * torch.randn(n, device=device), 0.0)
    contrast = happens(2 ** (0.5 * torch.randn(n, device=device)), 1.0)
    inverted = happens((2 * torch.rand(n, device=device)).floor(), 0.0)
    factor = contrast * (1 - 2 * inverted)
    return factor[:, None, None, None], (factor * brightness)[:, None, None, None]


def augment(x: torch.Tensor, p: float, pipeline: Pipeline, low_pass: bool = True) -> torch.Tensor:
    """Augment images; the gradient passes through, twice if need be.

    Args:
        x: ``[N, 1, H, W]``, float32, mean grey at 0.
        p: probability of each operation.
        pipeline: ``bgc`` (flips, shifts, geometry, grey levels), ``bg`` (without grey levels), ``none``.
        low_pass: see `resampling.warp`.
    """
    if pipeline == "none":
        return x
    x = warp(x, maps(x, p), low_pass)
    if pipeline == "bgc":
        factor, summand = colours(x, p)
        x = x * factor + summand
    return x
