"""The discriminator of denoising diffusion GANs: is this the image one time earlier than that one? (Xiao et al. 2022)"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, leaky_relu

EMBEDDING, CROWD, LARGEST = 256, 4, 8
"""Length of a time's embedding, images whose deviation is seen at once, and most channels in units of the width."""
_SLOPE = 0.2


class Judge(nn.Module):
    """Scores pairs of images one time apart.

    Args:
        width: half of the channels of the first layer (published: 64).
        blocks: halvings of the size (published: 6, for 64 pixels or more).
    """

    def __init__(self, width: int = 64, blocks: int = 6):
        super().__init__()
        channels = [2 * width, 4 * width, *[LARGEST * width] * (blocks - 1)]
        self.times = nn.Sequential(
            nn.Linear(EMBEDDING, EMBEDDING), nn.LeakyReLU(_SLOPE), nn.Linear(EMBEDDING, EMBEDDING)
        )
        self.first = nn.Conv2d(2, channels[0], 1)
        self.blocks = nn.ModuleList(_Block(given, wanted) for given, wanted in pairwise(channels))
        self.last = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
        self.score = nn.Linear(channels[-1], 1)

    def forward(self, earlier: torch.Tensor, later: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Scores [B] of images [B, 1, H, W] at times ``t - 1`` and `t` (int64 [B])."""
        known = leaky_relu(self.times(_sines(t, EMBEDDING)), _SLOPE)
        x = self.first(torch.cat([earlier, later], 1))
        for block in self.blocks:
            x = block(x, known)
        x = leaky_relu(self.last(torch.cat([x, _variety(x)], 1)), _SLOPE)
        return self.score(x.sum((2, 3)))[:, 0]


class _Block(nn.Module):
    """Two convolutions that are told the time, then half the size; beside them a shortcut."""

    def __init__(self, given: int, wanted: int):
        super().__init__()
        self.one, self.two = nn.Conv2d(given, wanted, 3, padding=1), nn.Conv2d(wanted, wanted, 3, padding=1)
        self.time, self.shortcut = nn.Linear(EMBEDDING, wanted), nn.Conv2d(given, wanted, 1, bias=False)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """[B, c, H, W] and [B, EMBEDDING] to [B, c', H/2, W/2]."""
        found = self.one(leaky_relu(x, _SLOPE)) + self.time(time)[:, :, None, None]
        found = avg_pool2d(self.two(leaky_relu(found, _SLOPE)), 2)
        return (found + self.shortcut(avg_pool2d(x, 2))) / math.sqrt(2)


def _sines(t: torch.Tensor, length: int) -> torch.Tensor:
    """Sines and cosines [B, length] of times [B], of geometric frequencies."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(length // 2, device=t.device) / (length // 2 - 1))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def _variety(x: torch.Tensor) -> torch.Tensor:
    """Standard deviation over a few images, the mean of all features: [B, 1, H, W], so that images that are alike show."""
    size = math.gcd(len(x), CROWD)
    groups = x.reshape(size, len(x) // size, *x.shape[1:])
    spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return spread.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
