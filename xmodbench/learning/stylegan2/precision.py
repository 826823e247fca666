"""16-bit floats in the layers of the highest resolutions, as the released StyleGAN2-ADA trains (its paper, appendix D)."""

from __future__ import annotations

import torch

from .discriminator import Discriminator
from .generator import Generator, StyledConv, ToImage
from .layers import Conv

LOWEST = 8
"""Layers of 4 pixels are never of 16 bits."""


def use_half(generator: Generator, discriminator: Discriminator, count: int, clamp: float | None) -> None:
    """Let layers compute with 16 bits, and clamp what they make; weights and their sums of gradients stay float32.

    Args:
        count: of how many resolutions, from the highest down; 0 for none.
        clamp: largest absolute value of an activation in all layers, so that 16 bits hold it; None for any.
    """
    synthesis, resolution = generator.synthesis, 4 * 2 ** (len(generator.synthesis.to_images) - 1)
    first = max(2 * resolution >> count, LOWEST) if count else 2 * resolution
    for conv in synthesis.convs:
        conv.half_precision, conv.clamp = conv.noise.shape[0] >= first, clamp
    for to_image in synthesis.to_images:
        to_image.clamp = clamp
    for conv in (discriminator.from_image, discriminator.conv):
        conv.clamp = clamp
    discriminator.from_image.half_precision = resolution >= first
    for place, block in enumerate(discriminator.blocks):
        for conv in (block.conv0, block.conv1, block.skip):
            conv.half_precision, conv.clamp = resolution >> place >= first, clamp


def use_single(*networks: torch.nn.Module) -> None:
    """Undo it: what follows the GAN's training computes with 32 bits."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, (Conv, StyledConv)):
                module.half_precision = False
            if isinstance(module, (Conv, StyledConv, ToImage)):
                module.clamp = None
