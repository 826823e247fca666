"""`diffusers.UNet2DModel`, without the models that importing it by its name brings along."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch

# Their __init__ imports every transformer and every U-Net of diffusers, scipy and torchvision with them
_PACKAGES = ("models.transformers", "models.unets")
# The compiler, for which diffusers marks transformer blocks, and what its downloads could wait with beside asyncio: it goes
# on without where these cannot be imported
_DISPENSABLE = ("torch._dynamo", "trio")


@contextmanager
def _only_what_is_named() -> Iterator[None]:
    """Let submodules of `_PACKAGES` be imported without their packages' ``__init__``, and diffusers without `_DISPENSABLE`.

    diffusers also asks which distribution each installed package comes from, for which all their lists of files are read: a
    second, to name a few optional packages that are not used here. Nothing of it lasts: whoever imports these packages
    afterwards gets all of them, with the same classes.
    """
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.submodule_search_locations is not None
    root = spec.submodule_search_locations[0]
    placed: list[str] = []
    for package in _PACKAGES:
        name = f"diffusers.{package}"
        if name not in sys.modules:
            sys.modules[name] = bare = types.ModuleType(name)
            bare.__path__ = [f"{root}/{package.replace('.', '/')}"]
            placed.append(name)
    for name in _DISPENSABLE:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that it cannot be imported
            placed.append(name)
    try:
        with patch.object(importlib.metadata, "packages_distributions", dict):
            yield
    finally:
        for name in placed:
            del sys.modules[name]


with _only_what_is_named():
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
