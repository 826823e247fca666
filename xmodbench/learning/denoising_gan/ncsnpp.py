"""NCSN++ (Song et al. 2021) as denoising diffusion GANs take it (Xiao et al. 2022), with or without a latent vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from xmodbench.learning.gan.layers import doubled, padded

from .layers import Attention, Block, PyramidDown, conv, dense, embedded, groups, halved


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


class Down(nn.Module):
    """A level on the way down: residual blocks, each with self-attention behind it or none, then half the size or the end.

    Args:
        make: of a block from so many channels to so many.
        inputs, outputs: channels.
        count: blocks.
        attends: with self-attention.
        seen: channels of the pyramid of inputs, which is added once the size is halved; 0 where it is not.
    """

    def __init__(self, make: Callable[..., Block], inputs: int, outputs: int, count: int, attends: bool, seen: int):
        super().__init__()
        self.blocks = nn.ModuleList(make(outputs if number else inputs, outputs) for number in range(count))
        self.attention = nn.ModuleList(Attention(outputs) if attends else nn.Identity() for _ in range(count))
        self.down = make(outputs, outputs, resample=halved) if seen else None
        self.pyramid = PyramidDown(seen, outputs) if seen else None

    def forward(
        self, x: torch.Tensor, pyramid: torch.Tensor, time: torch.Tensor, latent: torch.Tensor | None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What each step makes of ``x`` [B,inputs,H,W], in order, and the pyramid's next level."""
        kept = []
        for block, attention in zip(self.blocks, self.attention, strict=True):
            x = attention(block(x, time, latent))
            kept.append(x)
        if self.down is not None and self.pyramid is not None:
            pyramid = (self.pyramid(pyramid) + self.down(x, time, latent)) / math.sqrt(2)
            kept.append(pyramid)
        return kept, pyramid


class Up(nn.Module):
    """A level on the way up: residual blocks that see what was kept on the way down, self-attention or none, twice the size.

    Args:
        make: of a block from so many channels to so many.
        inputs, outputs: channels.
        kept: channels of what each block sees beside.
        attends: with self-attention.
        doubles: the size, in the end.
    """

    def __init__(
        self, make: Callable[..., Block], inputs: int, outputs: int, kept: Sequence[int], attends: bool, doubles: bool
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            make((outputs if number else inputs) + beside, outputs) for number, beside in enumerate(kept)
        )
        self.attention = Attention(outputs) if attends else nn.Identity()
        self.up = make(outputs, outputs, resample=doubled) if doubles else None

    def forward(
        self, x: torch.Tensor, kept: list[torch.Tensor], time: torch.Tensor, latent: torch.Tensor | None
    ) -> torch.Tensor:
        """[B,inputs,H,W] to [B,outputs,H',W']; takes what it sees beside from the end of `kept`."""
        for block in self.blocks:
            x = block(torch.cat([x, kept.pop()], 1), time, latent)
        x = self.attention(x)
        return x if self.up is None else self.up(x, time, latent)


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
        self.time = nn.Sequential(dense(width, 4 * width), nn.SiLU(), dense(4 * width, 4 * width))
        block = partial(Block, time=4 * width, latent=latent_width if latent else 0, dropout=dropout)
        widths = [width * m for m in multipliers]
        self.first = conv(inputs, width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, kept, seen = width, [width], inputs
        for level, wide in enumerate(widths):
            ends = level == len(widths) - 1
            self.down.append(Down(block, now, wide, blocks, level == attention, 0 if ends else seen))
            kept += [wide] * (blocks + (not ends))
            now = seen = wide
        self.middle = nn.ModuleList([block(now, now), Attention(now), block(now, now)])
        for level, wide in reversed(list(enumerate(widths))):
            beside = [kept.pop() for _ in range(blocks + 1)]
            self.up.append(Up(block, now, wide, beside, level == attention, level > 0))
            now = wide
        self.norm = nn.GroupNorm(groups(now), now, eps=1e-6)
        self.last = conv(now, 1, scale=0.0)

    def forward(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        """Noisy images and what lies beside them [B,inputs,H,W], times [B] and latents [B,latent] to images in [-1, 1]."""
        kind = next(self.parameters()).dtype
        time = self.time(embedded(t, self.width).to(kind))
        latent = None if self.mapping is None else self.mapping(z)
        return padded(lambda images: self._of(images, time, latent), x.to(kind), self.multiple)

    def _of(self, x: torch.Tensor, time: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
        pyramid, kept = x, [self.first(x)]
        for level in self.down:
            found, pyramid = level(kept[-1], pyramid, time, latent)
            kept += found
        first, attention, second = self.middle
        x = second(attention(first(kept[-1], time, latent)), time, latent)
        for level in self.up:
            x = level(x, kept, time, latent)
        return torch.tanh(self.last(functional.silu(self.norm(x))))


def attention_level(shape: Sequence[int], levels: int, side: int = 16) -> int:
    """The level at which slices of this shape are nearest to `side` pixels across."""
    return min(levels - 1, max(0, round(math.log2(max(shape) / side))))
