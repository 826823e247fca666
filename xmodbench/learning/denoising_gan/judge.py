"""The discriminator of denoising diffusion GANs: is this the image one time earlier than that one? (Xiao et al. 2022)"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from xmodbench.learning.stylegan2.discriminator import with_deviation

from .layers import conv, dense, embedded, halved


class DownBlock(nn.Module):
    """Two convolutions told the time, the second of which begins at zero, beside a skip connection; halves the size."""

    def __init__(self, inputs: int, outputs: int, time: int):
        super().__init__()
        self.conv0, self.conv1 = conv(inputs, outputs), conv(outputs, outputs, scale=0.0)
        self.time, self.skip = dense(time, outputs), conv(inputs, outputs, 1, bias=False)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """[B,inputs,H,W] to [B,outputs,H/2,W/2]."""
        h = self.conv0(functional.leaky_relu(x, 0.2)) + self.time(time)[:, :, None, None]
        h = self.conv1(halved(functional.leaky_relu(h, 0.2)))
        return (h + self.skip(halved(x))) / math.sqrt(2)


class TimeJudge(nn.Module):
    """Scores pairs of ``x_t`` and ``x_(t+1)``; larger ones say real.

    Args:
        width: half the channels of the first layer; they double up to eight times as many.
        layers: halvings of the size.
        time: width of what embeds the time.
    """

    def __init__(self, width: int = 64, layers: int = 6, time: int = 256):
        super().__init__()
        self.width = time
        self.time = nn.Sequential(dense(time, time), nn.LeakyReLU(0.2), dense(time, time), nn.LeakyReLU(0.2))
        self.first = conv(2, 2 * width, 1)
        widths = [width * min(2 ** (layer + 1), 8) for layer in range(layers + 1)]
        self.blocks = nn.ModuleList(DownBlock(widths[i], widths[i + 1], time) for i in range(layers))
        self.conv, self.out = conv(widths[-1] + 1, widths[-1]), dense(widths[-1], 1)

    def forward(self, x: torch.Tensor, t: torch.Tensor, noisier: torch.Tensor) -> torch.Tensor:
        """Images at steps t [B] and t+1, [B,1,H,W] each, to scores [B]."""
        time = self.time(embedded(t, self.width))
        h = self.first(torch.cat([x, noisier], 1))
        for block in self.blocks:
            h = block(h, time)
        h = functional.leaky_relu(self.conv(with_deviation(h, 4)), 0.2)
        return self.out(h.sum((2, 3)))[:, 0]
