"""Local mutual information as an energy: soft joint histograms of windows at the same place in both images.

It is the map of `methods/midiffusion` with grey levels that are not quantised, the joint histogram's own marginals, windows
of any size and no search. Without the search all histograms are averages over a window of products of two soft assignments,
which a single pooling makes; so windows may be large, and grey levels that they share are told from chance.
"""

from __future__ import annotations

import torch
from torch.nn import functional

EPS = 1e-10


def local_mutual_information(
    one: torch.Tensor, other: torch.Tensor, window: int, bins: int, bandwidth: float, stride: int = 1
) -> torch.Tensor:
    """Symmetric uncertainty ``2 I / (H1 + H2)``, 0 to 1, of the windows around each pixel.

    Args:
        one, other: images [B, 1, H, W] in [0, 1]; what is outside of it counts as 0 or 1. Outside the image lie zeros.
        window: side in pixels, odd.
        bins: of a histogram, their centres evenly spaced over [0, 1].
        bandwidth: standard deviation of the Gaussian that shares a pixel among bins, in units of [0, 1].
        stride: pixels from one window to the next.

    Returns:
        [B, 1, h, w], differentiable in both images.
    """
    shares, others = (_soft(images, window, bins, bandwidth) for images in (one, other))
    joint = (shares[:, :, None] * others[:, None]).flatten(1, 2)
    joint = functional.avg_pool2d(joint, window, stride)
    joint = (joint / (joint.sum(1, keepdim=True) + EPS / window**2)).unflatten(1, (bins, bins))
    first, second = _entropy(joint.sum(2)), _entropy(joint.sum(1))
    information = first + second - _entropy(joint.flatten(1, 2))
    return (2 * (information + EPS) / (first + second + EPS))[:, None]


def lmi_energy(
    one: torch.Tensor, other: torch.Tensor, window: int, bins: int, bandwidth: float, stride: int
) -> torch.Tensor:
    """1 - the mean of `local_mutual_information`: [B]."""
    return 1 - local_mutual_information(one, other, window, bins, bandwidth, stride).mean((1, 2, 3))


def _soft(images: torch.Tensor, window: int, bins: int, bandwidth: float) -> torch.Tensor:
    """Shares [B, bins, H + window - 1, W + window - 1] of the bins, of images with zeros around them."""
    padded = functional.pad(images.clamp(0, 1), (window // 2,) * 4)
    centres = torch.linspace(0, 1, bins, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1)
    return torch.exp(-0.5 * ((padded - centres) / bandwidth) ** 2)


def _entropy(p: torch.Tensor) -> torch.Tensor:
    """Bits of distributions [B, n, ...]."""
    return -(p * torch.log2(p + EPS)).sum(1)
