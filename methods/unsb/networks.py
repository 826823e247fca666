"""UNSB's generator, which sees a latent vector and perhaps the time, and its judges, which see the time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from xmodbench.learning.denoising_gan.layers import embedded
from xmodbench.learning.gan.layers import BlurDown, padded
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator

from .bridge import times_of


class BridgeBlock(nn.Module):
    """A residual block whose normalised input is scaled and shifted by a latent vector before its last convolution.

    Args:
        channels: of input and output.
        latent: width of the embedded latent vector, and of the embedded time.
        timed: a convolution comes first, and its normalised answer is told the time; else the input is only normalised.
    """

    def __init__(self, channels: int, latent: int, timed: bool):
        super().__init__()
        norm = nn.InstanceNorm2d(channels)
        self.first = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm) if timed else norm
        self.time = nn.Linear(latent, channels) if timed else None
        self.style = nn.Linear(latent, 2 * channels)
        self.last = nn.Sequential(
            nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)
        )

    def forward(self, x: torch.Tensor, latent: torch.Tensor, time: torch.Tensor | None) -> torch.Tensor:
        """[B,C,H,W] to the same shape."""
        h = self.first(x)
        if self.time is not None:
            h = h + self.time(time)[:, :, None, None]
        scale, shift = self.style(latent)[:, :, None, None].chunk(2, 1)
        return x + self.last(scale * h + shift)


class BridgeGenerator(nn.Module):
    """The end of a bridge, seen from an image on it; CUT's generator with other blocks between.

    Args:
        width: channels of the first layer; four times as many are those of the blocks and the latent vector's numbers.
        blocks: residual blocks at a quarter of the size.
        timed: whether it sees the time; the released one does not.
        steps, tau: of the bridge, see `bridge.Seeing`.
    """

    def __init__(self, width: int = 64, blocks: int = 9, timed: bool = False, steps: int = 5, tau: float = 0.01):
        super().__init__()
        self.times, self.tau = times_of(steps), tau
        around = ResnetGenerator(width, 0, antialias=True).layers
        middle = 1 + max(index for index, layer in enumerate(around) if isinstance(layer, BlurDown))
        self.latent, self.width, self.encoder, self.decoder = 4 * width, width, around[:middle], around[middle:]
        self.blocks = nn.ModuleList(BridgeBlock(4 * width, self.latent, timed) for _ in range(blocks))
        self.mapping = _leaky(*[self.latent] * 5)
        self.time = _leaky(width, self.latent, self.latent) if timed else None

    def forward(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Images [B,1,H,W] in [-1, 1], numbers of their times [B] and latents [B,4 width] to images in [-1, 1]."""
        told = self._told(t, z)

        def layers(images: torch.Tensor) -> torch.Tensor:
            h = self.encoder(images)
            for block in self.blocks:
                h = block(h, *told)
            return self.decoder(h)

        return padded(layers, x, 4)

    def features(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor, places: Sequence[int]) -> list[torch.Tensor]:
        """Outputs [B,c,h,w] of the layers with the given indices (ascending), the blocks counted behind the encoder."""
        told, found = self._told(t, z), []
        for index, layer in enumerate([*self.encoder, *self.blocks][: places[-1] + 1]):
            x = layer(x, *told) if isinstance(layer, BridgeBlock) else layer(x)
            if index in places:
                found.append(x)
        return found

    def open_styles(self) -> None:
        """Let blocks begin with a scale of 1, and not of 0, at which no image passes them."""
        for block in self.blocks:
            nn.init.ones_(block.style.bias[: 4 * self.width])

    def _told(self, t: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The embedded latent vector, brought to unit mean square first, and the embedded time."""
        latent = self.mapping(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        return latent, None if self.time is None else self.time(embedded(t, self.width))


class TimedJudge(PatchDiscriminator):
    """CUT's judge, whose convolutions are told the time; as published before the normalisation, which takes it out again.

    Only the first layer has none, so that there alone it is heard.
    """

    def __init__(self, width: int, layers: int, channels: int = 1):
        super().__init__(width, layers, antialias=True, channels=channels)
        self.embedding = 4 * width
        self.mapping = _leaky(*[self.embedding] * 3)
        told = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)][:-1]
        self.times = nn.ModuleList(nn.Linear(self.embedding, layer.out_channels) for layer in told)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Images [B,C,H,W] in [-1, 1] at numbered times [B] to scores [B,1,h,w]."""
        time, waiting = self.mapping(embedded(t, self.embedding)), iter(self.times)
        for layer in self.layers:
            x = layer(x)
            told = next(waiting, None) if isinstance(layer, nn.Conv2d) else None
            x = x if told is None else x + told(time)[:, :, None, None]
        return x


def _leaky(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for now, then in pairwise(widths):
        layers += [nn.Linear(now, then), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
