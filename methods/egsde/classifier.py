"""EGSDE's domain classifier: tells noisy source from noisy target slices, and what it goes by (Zhao et al. 2022, Sec. 3.2).

The encoder is that of guided-diffusion's classifier, in `diffusers`' blocks.
"""

from __future__ import annotations

import torch
from torch import nn

from xmodbench.learning.diffusion.egsde import Gradient
from xmodbench.learning.diffusion.unet import UNet2DModel

MULTIPLIERS = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4)}
"""Channels of each level in units of the first, by the least size of a slice in pixels; below 64 as at 64."""
ATTENTION = 32
"""Levels of at most so many pixels have self-attention (published: those of 32, 16 and 8)."""
HEAD = 64
"""Channels of an attention head, where a level has more."""


class DomainClassifier(nn.Module):
    """Logits of (source, target) for noisy images of any size; they are padded to what the levels need.

    Args:
        width: channels of the first level.
        blocks: residual blocks of each level.
        side: shorter side of the slices it is made for, pixels.
    """

    def __init__(self, width: int, blocks: int, side: int):
        super().__init__()
        self.side = side
        multipliers = MULTIPLIERS[max((size for size in MULTIPLIERS if size <= side), default=64)]
        self.multiple = 2 ** (len(multipliers) - 1)
        channels = tuple(width * factor for factor in multipliers)
        groups = min(32, width // 4)  # narrow networks with 32 would normalise nearly every channel by itself
        attends = [side / 2**level <= ATTENTION for level in range(len(channels))]
        self.encoder = UNet2DModel(
            in_channels=1,
            out_channels=1,
            block_out_channels=channels,
            layers_per_block=blocks,
            down_block_types=tuple("AttnDownBlock2D" if one else "ResnetDownsampleBlock2D" for one in attends),
            up_block_types=("UpBlock2D",) * len(channels),
            downsample_type="resnet",
            resnet_time_scale_shift="scale_shift",
            attention_head_dim=min(HEAD, width),
            norm_num_groups=groups,
            attn_norm_num_groups=groups,  # of the middle block, which has none otherwise
        )
        del self.encoder.up_blocks, self.encoder.conv_norm_out, self.encoder.conv_act, self.encoder.conv_out
        self.norm = nn.Sequential(nn.GroupNorm(groups, channels[-1]), nn.SiLU())
        self.answer = nn.Linear(channels[-1], 2)

    def features(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What the middle block makes of noisy images [B, 1, H, W] at times `t` [B]: [B, C, h, w]."""
        height, width = x.shape[-2:]
        x = nn.functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        embedded = self.encoder.time_embedding(self.encoder.time_proj(t))
        x = self.encoder.conv_in(x)
        for block in self.encoder.down_blocks:
            x, _ = block(x, embedded)
        return self.encoder.mid_block(x, embedded)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Logits [B, 2] of noisy images [B, 1, H, W] at times `t` [B]."""
        return self.answer(self.norm(self.features(x, t)).mean((2, 3)))


def likeness(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Cosine of the features [B, C, h, w] of two images, the mean over places: [B]."""
    return nn.functional.cosine_similarity(one, other, dim=1, eps=1e-10).mean((1, 2))


def realistic_gradient(classifier: DomainClassifier) -> Gradient:
    """Of the realistic expert E_s: how like the noised source an image is in what tells the domains apart."""

    def gradient(x: torch.Tensor, noised: torch.Tensor, t: int) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            x, noised = x.clone().requires_grad_(), noised.clone()
            at = torch.full((len(x),), t, device=x.device)
            with torch.no_grad():
                reference = classifier.features(noised, at)
            return torch.autograd.grad(likeness(classifier.features(x, at), reference).sum(), x)[0]

    return gradient
