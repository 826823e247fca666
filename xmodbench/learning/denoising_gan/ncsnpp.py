"""NCSN++ (Song et al. 2021) as denoising diffusion GANs take it (Xiao et al. 2022), with or without a latent vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from xmodbench.learning.gan.layers import doubled, padded

from .layers import Attention, Block, PyramidDown, conv, dense, embedded, groups, halved, initialised


class Latent(nn.Module):
    """Normal vectors, brought to unit mean square, through linear layers."""

    def __init__(self, inputs: int, width: int, layers: int = 4):
        super().__init__()
        self.layers = nn.ModuleList(dense(inputs if layer == 0 else width, width) for layer in range(layers))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B,inputs] to [B,width]."""
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            z = functional.silu(layer(z))
        return z


class Ncsnpp(nn.Module):
    """The clean image of a noisy one, given its time, what lies beside it and perhaps a latent vector.

    BigGAN's blocks, resampling filtered with [1, 3, 3, 1], a pyramid of the input added on the way down, attention in the
    middle and at one level; images of any size are mirrored to what the levels need.

    Args:
        inputs: channels of the input: the noisy image and its condition.
        width: channels of the first level.
        multipliers: channels of every level in units of `width`.
        blocks: residual blocks of a level on the way down; one more on the way up.
        attention: level with self-attention (0 is full resolution); None for the middle alone.
        latent: numbers of the latent vector; 0 for none.
        latent_width: of what it is turned into.
        dropout: before the second convolution of every block.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int = 2,
        attention: int | None = None,
        latent: int = 0,
        latent_width: int = 256,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.inputs, self.width, self.latent = inputs, width, latent
        self.multiple = 2 ** (len(multipliers) - 1)
        self.mapping = Latent(latent, latent_width) if latent else None
        self.time = nn.ModuleList([dense(width, 4 * width), dense(4 * width, 4 * width)])
        block = partial(Block, time=4 * width, latent=latent_width if latent else 0, dropout=dropout)
        widths = [width * m for m in multipliers]
        self.first = conv(inputs, width)
        self.down, self.pyramid, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        now, kept, seen = width, [width], inputs
        for level, wide in enumerate(widths):
            stage = nn.ModuleDict({"blocks": nn.ModuleList(), "attention": nn.ModuleList()})
            for _ in range(blocks):
                stage["blocks"].append(block(now, wide))
                stage["attention"].append(Attention(wide) if level == attention else nn.Identity())
                now = wide
                kept.append(now)
            if level < len(widths) - 1:
                stage["down"] = block(now, now, resample=halved)
                self.pyramid.append(PyramidDown(seen, now))
                kept.append(now)
                seen = now
            self.down.append(stage)
        self.middle = nn.ModuleList([block(now, now), Attention(now), block(now, now)])
        for level, wide in reversed(list(enumerate(widths))):
            stage = nn.ModuleDict({"blocks": nn.ModuleList()})
            for _ in range(blocks + 1):
                stage["blocks"].append(block(now + kept.pop(), wide))
                now = wide
            stage["attention"] = Attention(now) if level == attention else nn.Identity()
            if level:
                stage["up"] = block(now, now, resample=doubled)
            self.up.append(stage)
        self.norm = nn.GroupNorm(groups(now), now, eps=1e-6)
        self.last = initialised(nn.Conv2d(now, 1, 3, padding=1), 0.0)

    def forward(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        """Noisy images and what lies beside them [B,inputs,H,W], times [B] and latents [B,latent] to images in [-1, 1]."""
        kind = self.first.weight.dtype
        time = self.time[1](functional.silu(self.time[0](embedded(t, self.width).to(kind))))
        latent = None if self.mapping is None else self.mapping(z)
        return padded(lambda images: self._of(images, time, latent), x.to(kind), self.multiple)

    def _of(self, x: torch.Tensor, time: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
        pyramid, x = x, self.first(x)
        kept = [x]
        for level, stage in enumerate(self.down):
            for block, attention in zip(stage["blocks"], stage["attention"], strict=True):
                x = attention(block(x, time, latent))
                kept.append(x)
            if "down" in stage:
                x = stage["down"](x, time, latent)
                x = pyramid = (self.pyramid[level](pyramid) + x) / math.sqrt(2)
                kept.append(x)
        first, attention, second = self.middle
        x = second(attention(first(x, time, latent)), time, latent)
        for stage in self.up:
            for block in stage["blocks"]:
                x = block(torch.cat([x, kept.pop()], 1), time, latent)
            x = stage["attention"](x)
            if "up" in stage:
                x = stage["up"](x, time, latent)
        return torch.tanh(self.last(functional.silu(self.norm(x))))


def attention_level(shape: Sequence[int], levels: int, side: int = 16) -> int:
    """The level at which slices of this shape are nearest to `side` pixels across."""
    return min(levels - 1, max(0, round(math.log2(max(shape) / side))))
