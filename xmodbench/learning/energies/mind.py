"""MIND, the modality independent neighbourhood descriptor, in two dimensions (Heinrich et al. 2012)."""

from __future__ import annotations

import torch
from torch.nn import functional

NEIGHBOURS = {
    4: ((-1, 0), (1, 0), (0, -1), (0, 1)),
    8: ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)),
}
"""Offsets (row, column) of the search region, by its size; the first is the paper's six-neighbourhood, in two dimensions."""
LIMITS = 1e-3, 1e3
"""Of the local variance, as shares of its mean: it is 0 where an image is flat. Shares, so that contrast does not matter."""


def mind(images: torch.Tensor, neighbours: int = 4, sigma: float = 0.5, distance: int = 1) -> torch.Tensor:
    """Descriptors [B, neighbours, H, W] of images [B, 1, H, W]: ``exp(-D / V)``, the largest of each pixel 1.

    D is the Gaussian-weighted squared difference of the patches around a pixel and around a neighbour, V the mean of D over
    the four nearest. Images ``a x + b`` have the same descriptors, also for negative a; borders are repeated.

    Args:
        neighbours: 4 or 8.
        sigma: of the weights of a patch, in pixels.
        distance: of the neighbours, in pixels.
    """
    distances = _distances(images, NEIGHBOURS[neighbours], sigma, distance)
    variance = _distances(images, NEIGHBOURS[4], sigma, distance).mean(1, keepdim=True)
    mean = variance.mean((2, 3), keepdim=True)
    low, high = (share * mean for share in LIMITS)
    tiny = torch.finfo(images.dtype).tiny  # an image that is flat everywhere
    found = torch.exp(-distances / torch.minimum(torch.maximum(variance, low), high).clamp_min(tiny))
    return found / found.amax(1, keepdim=True)


def mind_energy(one: torch.Tensor, other: torch.Tensor, neighbours: int, sigma: float, distance: int) -> torch.Tensor:
    """Mean absolute difference of two images' descriptors: [B]."""
    return (mind(one, neighbours, sigma, distance) - mind(other, neighbours, sigma, distance)).abs().mean((1, 2, 3))


def _distances(images: torch.Tensor, offsets: tuple[tuple[int, int], ...], sigma: float, distance: int) -> torch.Tensor:
    height, width = images.shape[2:]
    around = functional.pad(images, (distance,) * 4, mode="replicate")
    moved = [
        around[..., distance * (1 + row) :, distance * (1 + column) :][..., :height, :width] for row, column in offsets
    ]
    return _smoothed((torch.cat(moved, 1) - images) ** 2, sigma)


def _smoothed(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian of three standard deviations, of sum 1, along both axes."""
    reach = int(1.5 * sigma + 0.999)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device) / sigma) ** 2)
    weights = weights / weights.sum()
    count = images.shape[1]
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    along = functional.conv2d(padded, weights.reshape(1, 1, -1, 1).expand(count, 1, -1, 1), groups=count)
    return functional.conv2d(along, weights.reshape(1, 1, 1, -1).expand(count, 1, 1, -1), groups=count)
