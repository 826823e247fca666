"""FGDM's condition: edges of the bilaterally filtered image, with the conventions of OpenCV in 8 bits."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from xmodbench.learning.energies.gradients import sobel

RADIUS = 5  # OpenCV's, for a diameter of 10
TEST_SIGMA, TEST_THRESHOLD = 9, 5
SIGMAS, THRESHOLDS = 30, 10  # in training whole numbers from 1 to these


def edge_maps(images: torch.Tensor, sigma: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Edges of ``images`` [B, 1, H, W] in [0, 1]: of the same shape, each stretched to [0, 1].

    The mean of both absolute Sobel derivatives of the filtered image, each at most 255, without what is below the threshold.

    Args:
        sigma: of the bilateral filter, of each image, in pixels as well as in grey levels; ``[B]``.
        threshold: of each image, in grey levels; ``[B]``.
    """
    grey = torch.round(255 * images.float().clamp(0, 1))
    grey = torch.round(bilateral(grey, sigma))
    derivatives = (4 * sobel(grey, border="reflect")).abs().clamp_max(255)  # OpenCV's are four times as large
    found = torch.round(derivatives.mean(1, keepdim=True))
    found = torch.where(found < threshold[:, None, None, None], 0.0, found)
    low, high = found.amin((1, 2, 3), keepdim=True), found.amax((1, 2, 3), keepdim=True)
    return (found - low) / (high - low).clamp_min(1.0)  # whole grey levels: 0 where there are no edges


def bilateral(grey: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Images [B, 1, H, W] in grey levels, of which each pixel is the mean of those near it in place and grey level.

    Both weights are Gaussian with deviation `sigma` [B], over a disc of `RADIUS` pixels; beyond the border lies the mirror
    image, the border itself not repeated.
    """
    height, width = grey.shape[-2:]
    padded = pad(grey, (RADIUS,) * 4, mode="reflect")
    half = 0.5 / sigma.to(grey).reshape(-1, 1, 1, 1) ** 2
    total, weights = torch.zeros_like(grey), torch.zeros_like(grey)
    reach = range(-RADIUS, RADIUS + 1)
    for down, right in ((a, b) for a in reach for b in reach if a * a + b * b <= RADIUS**2):
        top, left = RADIUS + down, RADIUS + right
        near = padded[..., top : top + height, left : left + width]
        weight = torch.exp(-half * ((near - grey) ** 2 + down**2 + right**2))
        total, weights = total + weight * near, weights + weight
    return total / weights


def source_edges(images: torch.Tensor) -> torch.Tensor:
    """The edges of sources, whose filter and threshold are always the same."""
    ones = torch.ones(len(images), device=images.device)
    return edge_maps(images, TEST_SIGMA * ones, TEST_THRESHOLD * ones)
