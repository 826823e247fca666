"""Layers of NCSN++ (Song et al. 2021) and of its judge: normalisation, filtered resampling, attention, embedded times."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from xmodbench.learning.stylegan2.filters import constant, filtered

FIR = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


def _kernel(x: torch.Tensor) -> torch.Tensor:
    line = constant(FIR, x.device, torch.float32)
    return torch.outer(line, line)


def halved(x: torch.Tensor) -> torch.Tensor:
    """[B,C,H,W] to [B,C,H/2,W/2], filtered with [1, 3, 3, 1] along both axes; zeros lie beyond the border."""
    return filtered(x, _kernel(x), (2, 2), 1)


def embedded(t: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines [B,width] of times `t` [B], of periods from 2 pi to 20,000 pi."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / (half - 1)))
    angles = t.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def conv(inputs: int, outputs: int, kernel: int = 3, scale: float = 1.0, **options) -> nn.Conv2d:
    """A convolution that keeps the size, unless told otherwise."""
    layer = nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2, **options})
    _initialise(layer, scale)
    return layer


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer."""
    layer = nn.Linear(inputs, outputs)
    _initialise(layer)
    return layer


def _initialise(layer: nn.Conv2d | nn.Linear, scale: float = 1.0) -> None:
    """Uniform weights whose variance is `scale` over the mean of inputs and outputs; biases 0."""
    nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(max(scale, 1e-10)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def groups(channels: int) -> int:
    """Groups of the normalisation of so many channels: four channels each, 32 at most."""
    return next(count for count in range(min(channels // 4, 32), 0, -1) if channels % count == 0)


class AdaptiveNorm(nn.Module):
    """Group normalisation whose scale and shift come from a latent vector; without one there is neither.

    Args:
        channels: normalised.
        latent: width of the vector; 0 for none.
    """

    def __init__(self, channels: int, latent: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups(channels), channels, eps=1e-6, affine=False)
        self.style = None
        if latent:
            self.style = dense(latent, 2 * channels)
            nn.init.ones_(self.style.bias[:channels])

    def forward(self, x: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
        """Normalise ``x`` [B,C,H,W] by a latent [B,latent]."""
        if self.style is None:
            return self.norm(x)
        scale, shift = self.style(latent)[:, :, None, None].chunk(2, 1)
        return scale * self.norm(x) + shift


class Attention(nn.Module):
    """Every pixel looks at all others; one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups(channels), channels, eps=1e-6)
        self.query, self.key, self.value = (conv(channels, channels, 1, 0.1) for _ in range(3))
        self.out = conv(channels, channels, 1, 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] to the same shape."""
        h = self.norm(x)
        query, key, value = (layer(h).flatten(2).mT for layer in (self.query, self.key, self.value))
        seen = functional.scaled_dot_product_attention(query, key, value)
        return (x + self.out(seen.mT.reshape(x.shape))) / math.sqrt(2)


class Block(nn.Module):
    """Two convolutions after adaptive normalisation, told the time, beside a skip connection (BigGAN's block).

    Args:
        inputs, outputs: channels.
        time, latent: widths of what embeds the time and of the latent vector (0 for none).
        resample: `halved`, `doubled` or None.
        dropout: before the second convolution.
    """

    def __init__(self, inputs: int, outputs: int, time: int, latent: int = 0, resample=None, dropout: float = 0.0):
        super().__init__()
        self.resample = resample
        self.norm0, self.conv0 = AdaptiveNorm(inputs, latent), conv(inputs, outputs)
        self.time = dense(time, outputs)
        self.norm1, self.conv1 = AdaptiveNorm(outputs, latent), conv(outputs, outputs, scale=0.0)
        self.dropout = nn.Dropout(dropout)
        self.skip = conv(inputs, outputs, 1) if inputs != outputs or resample else None

    def forward(self, x: torch.Tensor, time: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
        """[B,inputs,H,W] to [B,outputs,H',W']."""
        h = functional.silu(self.norm0(x, latent))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv0(h) + self.time(functional.silu(time))[:, :, None, None]
        h = self.conv1(self.dropout(functional.silu(self.norm1(h, latent))))
        return ((x if self.skip is None else self.skip(x)) + h) / math.sqrt(2)


class PyramidDown(nn.Module):
    """Filter with [1, 3, 3, 1], then a convolution at every other pixel."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = conv(inputs, outputs, padding=0, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,inputs,H,W] to [B,outputs,H/2,W/2]."""
        return self.conv(filtered(x, _kernel(x), pad=2))
