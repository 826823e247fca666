"""pix2pix's U-Net (Isola et al. 2017, appendix 6.1.1; layers as in the released code)."""

from __future__ import annotations

import torch
from torch import nn

from xmodbench.learning.gan.layers import Dropout, norm_of, padded


class Level(nn.Module):
    """Halve, go through the levels within, double, and put the input beside the result (not at the outermost level).

    Args:
        outer: channels in (of the image, at the outermost level) and half of those out.
        inner: channels within.
        within: the next level; None at the innermost.
        norm: ``instance`` or ``batch``.
        dropout: whether the result is subject to dropout.
        outermost: without normalisation and skip connection.
    """

    def __init__(
        self, outer: int, inner: int, within: Level | None, norm: str, dropout: bool = False, outermost: bool = False
    ):
        super().__init__()
        self.outermost = outermost
        bias = norm == "instance"
        down = [] if outermost else [nn.LeakyReLU(0.2)]
        down.append(nn.Conv2d(outer, inner, 4, 2, 1, bias=bias))
        if within is not None and not outermost:  # a map of 1 x 1 pixels cannot be normalised
            down.append(norm_of(norm, inner))
        channels = inner if within is None else 2 * inner
        up = [nn.ReLU(), nn.ConvTranspose2d(channels, outer, 4, 2, 1, bias=bias or outermost)]
        up.append(nn.Tanh() if outermost else norm_of(norm, outer))
        up += [Dropout(0.5)] if dropout else []
        self.layers = nn.Sequential(*down, *([] if within is None else [within]), *up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,outer,H,W] to [B,2*outer,H,W], or to [B,outer,H,W] at the outermost level."""
        result = self.layers(x)
        return result if self.outermost else torch.cat([x, result], 1)


class UnetGenerator(nn.Module):
    """Image to image in [-1, 1], of any size from 2^(depth-1) + 1 pixels.

    Args:
        depth: halvings, at least five; 8 for 256 pixels, 7 for 128.
        width: channels of the first level; they double up to eight times as many.
        norm: ``instance`` or ``batch``.
        dropout: of one half in the levels between the innermost and the first with eight times `width` channels.
        channels: of input and output.
    """

    def __init__(self, depth: int, width: int = 64, norm: str = "batch", dropout: bool = True, channels: int = 1):
        super().__init__()
        self.multiple = 2**depth
        levels = Level(8 * width, 8 * width, None, norm)
        for _ in range(depth - 5):
            levels = Level(8 * width, 8 * width, levels, norm, dropout)
        for outer in (4 * width, 2 * width, width):
            levels = Level(outer, 2 * outer, levels, norm)
        self.layers = Level(channels, width, levels, norm, outermost=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] in [-1, 1] to the same."""
        return padded(self.layers, x, self.multiple)


def depth_for(shape: tuple[int, int]) -> int:
    """Halvings that bring slices of this shape to one pixel, as published for 128 and 256; between 5 and 8."""
    return min(8, max(5, min(shape).bit_length() - 1))
