"""The generator of StyleGAN2: a mapping network and a synthesis network with image skips (Karras et al. 2020, Fig. 7)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from .layers import EPSILON, Linear, ModulatedConv, activate, clamped, in_precision, upsample

Noise = Literal["random", "fixed", "none"]
MAPPING_RATE, AVERAGE_DECAY = 0.01, 0.995


def channels_at(resolution: int, base: int, most: int) -> int:
    """Channels of the features at a resolution, of generator and discriminator."""
    return min(base // resolution, most)


def latent_count(resolution: int) -> int:
    """Latent vectors an image of this resolution is made from: two for each power of two from 4 on."""
    return 2 * int(math.log2(resolution)) - 2


class Mapping(nn.Module):
    """Normally distributed z to the latent vector w; keeps the running mean of w in `average`.

    Args:
        size: length of z and w.
        layers: fully connected ones (published: 8; configuration `auto`: 2).
    """

    average: torch.Tensor

    def __init__(self, size: int, layers: int):
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(*(Linear(size, size, rate=MAPPING_RATE, activation=True) for _ in range(layers)))
        self.register_buffer("average", torch.zeros(size))

    def forward(self, z: torch.Tensor, track: bool = False) -> torch.Tensor:
        """z [N, size] to w [N, size]; `track` moves the running mean."""
        w = self.layers(z * torch.rsqrt(z.square().mean(1, keepdim=True) + EPSILON))
        if track:
            with torch.no_grad():
                self.average.copy_(w.mean(0).lerp(self.average, AVERAGE_DECAY))
        return w


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise, bias and activation.

    Attributes:
        half_precision, clamp: see `precision.use_half`.
    """

    noise: torch.Tensor
    half_precision: bool = False
    clamp: float | None = None

    def __init__(self, inputs: int, outputs: int, latent: int, resolution: int, up: bool):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, latent, up=up)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(resolution, resolution))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: Noise, fused: bool) -> torch.Tensor:
        """Features and latent vectors [N, latent] to features [N, outputs, resolution, resolution]."""
        x = self.conv(in_precision(x, self.half_precision), w, fused)
        if noise != "none":
            drawn = torch.randn(len(x), 1, *x.shape[2:], device=x.device) if noise == "random" else self.noise
            x = x + (drawn * self.noise_strength).to(x.dtype)
        return clamped(activate(x + self.bias[:, None, None].to(x.dtype)), self.clamp)


class ToImage(nn.Module):
    """A 1x1 modulated convolution to one grey channel, without demodulation.

    Attributes:
        clamp: see `precision.use_half`.
    """

    clamp: float | None = None

    def __init__(self, inputs: int, latent: int):
        super().__init__()
        self.conv = ModulatedConv(inputs, 1, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, w: torch.Tensor, fused: bool) -> torch.Tensor:
        """Features and latent vectors [N, latent] to images [N, 1, H, W]."""
        x = self.conv(x, w, fused)
        bias = self.bias.to(x.dtype) if x.dtype == torch.float16 else self.bias
        return clamped(x + bias[:, None, None], self.clamp).float()


class Synthesis(nn.Module):
    """Latent vectors, one for each layer, to images in about [-1, 1].

    Args:
        resolution: side of the images, a power of two from 8 on.
        base, most: of `channels_at`.
        latent: length of a latent vector.
    """

    def __init__(self, resolution: int, base: int, most: int, latent: int):
        super().__init__()
        self.constant = nn.Parameter(torch.randn(channels_at(4, base, most), 4, 4))
        self.convs, self.to_images = nn.ModuleList(), nn.ModuleList()
        before = channels_at(4, base, most)
        side = 4
        while side <= resolution:
            channels = channels_at(side, base, most)
            if side > 4:
                self.convs.append(StyledConv(before, channels, latent, side, up=True))
            self.convs.append(StyledConv(channels, channels, latent, side, up=False))
            self.to_images.append(ToImage(channels, latent))
            before, side = channels, 2 * side

    def forward(self, ws: torch.Tensor, noise: Noise = "fixed", fused: bool = False) -> torch.Tensor:
        """Latent vectors [N, latent_count, latent] to images [N, 1, resolution, resolution].

        Args:
            ws: a vector for each convolution in turn; a block's image layer uses the one of the next convolution.
            noise: drawn anew (training), the maps kept with the weights, or none.
            fused: see `ModulatedConv`.
        """
        x = self.constant.expand(len(ws), -1, -1, -1)
        image: torch.Tensor | None = None
        for block, to_image in enumerate(self.to_images):
            last = 2 * block
            for layer in range(max(0, last - 1), last + 1):
                x = self.convs[layer](x, ws[:, layer], noise, fused)
            own = to_image(x, ws[:, last + 1], fused)
            image = own if image is None else upsample(image) + own
        assert image is not None  # there is a block at least
        return image


class Generator(nn.Module):
    """Mapping and synthesis networks.

    Args:
        settings: resolved, with ``resolution``, ``channel_base``, ``channel_max``, ``latent_size``, ``mapping_layers``.
    """

    def __init__(self, settings):
        super().__init__()
        s = settings
        self.count = latent_count(s.resolution)
        self.mapping = Mapping(s.latent_size, s.mapping_layers)
        self.synthesis = Synthesis(s.resolution, s.channel_base, s.channel_max, s.latent_size)

    def latents(self, z: torch.Tensor, mixing: float = 0.0, track: bool = False) -> torch.Tensor:
        """z [N, latent_size] to latent vectors [N, latent_count, latent_size].

        Args:
            z: normally distributed.
            mixing: with this probability the layers from a random one on take those of another, newly drawn z.
            track: move the running mean of w.
        """
        ws = self.mapping(z, track)[:, None].repeat(1, self.count, 1)
        # drawn on the CPU, whatever happens: a GPU need not wait, and all that is drawn later stays the same
        toss, cut = torch.rand((), device="cpu").item(), int(torch.randint(1, self.count, (), device="cpu"))
        if toss < mixing:
            other = self.mapping(torch.randn_like(z))
            ws = torch.cat([ws[:, :cut], other[:, None].expand(-1, self.count - cut, -1)], 1)
        return ws

    def forward(self, z: torch.Tensor, noise: Noise = "fixed") -> torch.Tensor:
        """z [N, latent_size] to images [N, 1, resolution, resolution]."""
        return self.synthesis(self.latents(z), noise)
