"""Noise-prediction networks: `diffusers.UNet2DModel` in many shapes, and NCSN++."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from xmodbench.learning.denoising_gan.ncsnpp import Ncsnpp
from xmodbench.learning.diffusion.unet import ResnetBlock2D, UNet2DModel, without_divisions
from xmodbench.learning.gan.layers import padded


@dataclass(frozen=True)
class Shape:
    """What tells one preset from another.

    Attributes:
        base: channels of the first level.
        multipliers: channels of every level in units of `base`.
        blocks: residual blocks per level on the way down.
        attention: levels (0 is full resolution) with self-attention.
        ddpm: details of the DDPM network (asymmetric padding, sine first); otherwise those of the ADM network.
        patch: the U-Net sees patches of so many pixels squared as channels: a quarter of the work for 2.
        groups: of the group normalisation.
        head: channels of an attention head; one head as wide as the level if left out.
        zeroed: the last layer of every residual branch and of the network begins at 0, as in ADM.
    """

    base: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    ddpm: bool = True
    patch: int = 1
    groups: int = 32
    head: int | None = None
    zeroed: bool = False


# 8,950,913 (3 inputs) and 21,423,169 parameters as in the released code; attention at 16 px for images of 128 px
SHAPES = {
    "ddpm": Shape(64, (1, 2, 2, 2), 2, (3,)),
    "adm": Shape(64, (1, 1, 2, 3, 4), 2, (3,), ddpm=False, zeroed=True),
    "ddpm256": Shape(128, (1, 1, 2, 2, 4, 4), 2, (4,), ddpm=False, head=8),
    "small": Shape(16, (1, 2, 4), 1, (2,), groups=8),
    # as released for paired translation: 2,328,737 (2 inputs) by flow matching, 53,497,089 (1 input) by regression (YODA)
    "monai": Shape(32, (1, 2, 2, 2), 2, (2, 3), ddpm=False, head=8, zeroed=True),
    "yoda": Shape(128, (1, 1, 2, 2, 4), 1, (2, 3, 4), ddpm=False, head=128, zeroed=True),
}


class DenoisingNetwork(nn.Module):
    """A U-Net for images of any size: pads them to what its levels need and crops the answer.

    Args:
        preset: ``ddpm`` (the released MIDiffusion network), ``adm`` (its ADM-style alternative), ``ddpm256`` (DDPM's for 256
            pixels, with diffusers' defaults, as in ContourDiff), ``small`` (for short CPU training; nothing published);
            ``monai`` and ``yoda``, published for paired translation.
        inputs: input channels: the noisy image and its condition.
        base: channels of the first level, the preset's if left out.
        dropout: before the second convolution of every block.
    """

    def __init__(self, preset: str, inputs: int, base: int | None = None, dropout: float = 0.1):
        super().__init__()
        shape = SHAPES[preset]
        self.inputs = inputs
        self.patch = shape.patch
        self.multiple = shape.patch * 2 ** (len(shape.multipliers) - 1)
        self.unet = without_divisions(_unet(shape, inputs, base or shape.base, dropout))
        if shape.zeroed:
            _zero_outputs(self.unet)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Prediction ``[B, 1, H, W]`` for ``x`` [B, inputs, H, W] at times `t` [B]."""
        return padded(partial(self._of, t=t), x, self.multiple, "replicate")

    def _of(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pixel_unshuffle(x.to(self.unet.dtype), self.patch)
        return nn.functional.pixel_shuffle(self.unet(x, t).sample, self.patch)


def _unet(shape: Shape, inputs: int, base: int, dropout: float) -> UNet2DModel:
    levels = range(len(shape.multipliers))
    down = ["AttnDownBlock2D" if level in shape.attention else "DownBlock2D" for level in levels]
    up = ["AttnUpBlock2D" if level in shape.attention else "UpBlock2D" for level in reversed(levels)]
    return UNet2DModel(
        in_channels=inputs * shape.patch**2,
        out_channels=shape.patch**2,
        block_out_channels=tuple(base * m for m in shape.multipliers),
        layers_per_block=shape.blocks,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        downsample_padding=0 if shape.ddpm else 1,
        freq_shift=1 if shape.ddpm else 0,
        flip_sin_to_cos=not shape.ddpm,
        attention_head_dim=shape.head and math.gcd(shape.head, base),
        norm_eps=1e-6 if shape.ddpm else 1e-5,
        norm_num_groups=math.gcd(shape.groups, base),
        dropout=dropout,
    )


def _zero_outputs(unet: UNet2DModel) -> None:
    """Zero the last layer of every residual branch and of the network, as ADM does; the DDPM network does not."""
    last = [unet.conv_out]
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            last.append(module.conv2)
        elif type(module).__name__ == "Attention":
            last.append(module.to_out[0])
    for module in last:
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)


def ncsnpp(inputs: int, width: int = 128, dropout: float = 0.0) -> Ncsnpp:
    """That of FGDM, without a latent vector; attention at 16 px for images of 128 px."""
    return Ncsnpp(inputs, width, (1, 2, 2, 2), attention=3, dropout=dropout)


def network_of(settings, inputs: int) -> DenoisingNetwork | Ncsnpp:
    """The network that resolved settings ask for."""
    if settings.network == "ncsnpp":
        return ncsnpp(inputs, settings.width, settings.dropout)
    return DenoisingNetwork(settings.network, inputs, settings.width, settings.dropout)
