"""The discriminator of StyleGAN2 with residual connections (Karras et al. 2020, Fig. 7)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from .generator import channels_at
from .layers import EPSILON, Conv, Linear, in_precision


class Block(nn.Module):
    """Two 3x3 convolutions and a 1x1 one around them; halves the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=True)
        self.skip = Conv(inputs, outputs, 1, down=True, plain=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        return (self.conv1(self.conv0(x)) + self.skip(x)) * math.sqrt(0.5)


def with_deviation(x: torch.Tensor, group: int) -> torch.Tensor:
    """Append a channel with the standard deviation over groups of images (Karras et al. 2018, section 3).

    Images n, n + N/G, n + 2N/G, ... make a group; G is the largest divisor of N up to `group`, so that any N will do.
    """
    n, c, h, w = x.shape
    size = next(size for size in range(min(group, n), 0, -1) if n % size == 0)
    grouped = _single(x).reshape(size, n // size, c, h, w)
    deviation = (grouped.var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(size)[:, None, None, None].expand(n, 1, h, w).to(x.dtype)], 1)


class Discriminator(nn.Module):
    """Images [N, 1, resolution, resolution] to scores; larger ones say real.

    Args:
        settings: resolved, with ``resolution``, ``channel_base``, ``channel_max``, ``minibatch_group``.
    """

    def __init__(self, settings):
        super().__init__()
        s = settings
        self.group = s.minibatch_group
        sides = [s.resolution // 2**step for step in range(int(math.log2(s.resolution)) - 1)]  # down to 4
        channels = [channels_at(side, s.channel_base, s.channel_max) for side in sides]
        self.from_image = Conv(1, channels[0], 1)
        self.blocks = nn.ModuleList(Block(*pair) for pair in pairwise(channels))
        last = channels[-1]
        self.conv = Conv(last + 1, last, 3)
        self.hidden = Linear(16 * last, last, activation=True)
        self.out = Linear(last, 1)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of all blocks, the largest first; each image's depend on that image alone."""
        x = self.from_image(x)
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores [N] of images [N, 1, resolution, resolution]; those of a batch depend on each other."""
        x = self.conv(with_deviation(in_precision(self.features(x)[-1], half=False), self.group))
        return _single(self.out(self.hidden(x.flatten(1)))[:, 0])


def _single(x: torch.Tensor) -> torch.Tensor:
    """In single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
