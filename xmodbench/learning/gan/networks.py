"""The ResNet generator and the PatchGAN discriminator (Zhu et al. 2017, appendix; sizes as in the released code)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xmodbench.learning.gan.layers import BlurDown, BlurUp, norm_of, padded


class ResidualBlock(nn.Module):
    """Two mirrored-border 3 x 3 convolutions with instance normalisation, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] to the same shape."""
        return x + self.layers(x)


class ResnetGenerator(nn.Module):
    """Image to image in [-1, 1], of any size from 8 pixels.

    Args:
        width: channels of the first layer.
        blocks: residual blocks at a quarter of the size.
        antialias: filtered down- and upsampling (CUT) in place of strided convolutions (CycleGAN).
        channels: of input and output.
    """

    def __init__(self, width: int = 64, blocks: int = 9, antialias: bool = False, channels: int = 1):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), *_finish(width)]
        for now in (width, 2 * width):
            layers += [nn.Conv2d(now, 2 * now, 3, 1 if antialias else 2, 1), *_finish(2 * now)]
            layers += [BlurDown(2 * now)] if antialias else []
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for now in (4 * width, 2 * width):
            if antialias:
                layers += [BlurUp(), nn.Conv2d(now, now // 2, 3, 1, 1)]
            else:
                layers += [nn.ConvTranspose2d(now, now // 2, 3, 2, 1, output_padding=1)]
            layers += _finish(now // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] in [-1, 1] to the same."""
        return padded(self.layers, x, 4)

    def features(self, x: torch.Tensor, places: Sequence[int]) -> list[torch.Tensor]:
        """Outputs [B,c,h,w] of the layers with the given indices (ascending); later layers are not computed."""
        found = []
        for index, layer in enumerate(self.layers[: places[-1] + 1]):
            x = layer(x)
            if index in places:
                found.append(x)
        return found


def _finish(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU()]


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches (70 x 70 with three layers), without a sigmoid.

    Args:
        width: channels of the first layer; they double up to eight times as many.
        layers: halvings of the size.
        norm: ``instance`` or ``batch``.
        antialias: filtered downsampling in place of strided convolutions.
        channels: of the input; 2 for an image with its condition.
    """

    def __init__(
        self, width: int = 64, layers: int = 3, norm: str = "instance", antialias: bool = False, channels: int = 1
    ):
        super().__init__()
        self.smallest_side = smallest_side(layers)
        bias = norm == "instance"  # a learned shift follows batch normalisation
        stack: list[nn.Module] = []
        now = channels
        for level in range(layers):
            wider = min(2**level, 8) * width
            stack.append(nn.Conv2d(now, wider, 4, 1 if antialias else 2, 1, bias=bias or level == 0))
            stack += [norm_of(norm, wider)] if level else []
            stack.append(nn.LeakyReLU(0.2))
            stack += [BlurDown(wider)] if antialias else []
            now = wider
        wider = min(2**layers, 8) * width
        stack += [nn.Conv2d(now, wider, 4, 1, 1, bias=bias), norm_of(norm, wider), nn.LeakyReLU(0.2)]
        stack.append(nn.Conv2d(wider, 1, 4, 1, 1))
        self.layers = nn.Sequential(*stack)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B,C,H,W] in [-1, 1] to scores [B,1,h,w]."""
        return self.layers(x)


def smallest_side(layers: int) -> int:
    """Shortest side of an image that a `PatchDiscriminator` with so many layers can normalise and score."""
    return 3 * 2**layers
