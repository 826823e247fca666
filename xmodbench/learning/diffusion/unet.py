"""`diffusers.UNet2DModel`, without the models that importing it by its name brings along."""

from __future__ import annotations

import importlib.metadata
from unittest.mock import patch

import torch

from xmodbench.lean_imports import cannot_be_imported, without_init

# Two packages import every transformer and every U-Net of diffusers, scipy and torchvision with them. The compiler is wanted
# to mark transformer blocks for it, trio for downloads that wait otherwise than by asyncio. Which distribution each of the
# installed packages comes from is asked to name a few that are not used here: all lists of files are read for it.
with (
    without_init("diffusers.models.transformers", "diffusers.models.unets"),
    cannot_be_imported("torch._dynamo", "trio"),
    patch.object(importlib.metadata, "packages_distributions", dict),
):
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.unets.unet_2d import UNet2DModel

__all__ = ["ResnetBlock2D", "UNet2DModel", "without_divisions"]


class _UndividedBlock(ResnetBlock2D):
    """A residual block that does not divide its result by 1, which diffusers reads and writes all of it for."""

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """Features [B, C, H, W] and the times' embedding to [B, C', H, W], bit for bit those of the class above."""
        x = self.conv1(self.nonlinearity(self.norm1(input_tensor)))
        x = x + self.time_emb_proj(self.nonlinearity(temb))[:, :, None, None]
        x = self.conv2(self.dropout(self.nonlinearity(self.norm2(x))))
        if self.conv_shortcut is None:
            return input_tensor + x
        # in training a layout of its own, as there: gradients of several processes are exchanged in one
        return self.conv_shortcut(input_tensor.contiguous() if self.training else input_tensor) + x


def without_divisions(unet: UNet2DModel) -> UNet2DModel:
    """`unet`, whose residual blocks no longer divide by 1; those that do anything else are left alone."""
    for module in unet.modules():
        if type(module) is ResnetBlock2D and _plain(module):
            module.__class__ = _UndividedBlock
    return unet


def _plain(block: ResnetBlock2D) -> bool:
    resampled = block.upsample is not None or block.downsample is not None
    timed = block.time_emb_proj is not None and block.time_embedding_norm == "default" and not block.skip_time_act
    return block.output_scale_factor == 1 and timed and not resampled
