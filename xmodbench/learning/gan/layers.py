"""Layers of the adversarial baselines' networks, and how their weights begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that, once trained, takes its statistics from each image alone.

    pix2pix normalises test images with the statistics of the test batch, of one image (Isola et al. 2017, section 3.4):
    taken per image, a result does not depend on the images it was computed with.
    """

    def __init__(self, channels: int):
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x`` [B,C,H,W]."""
        if self.training:
            return super().forward(x)
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)


def norm_of(kind: str, channels: int) -> nn.Module:
    """``instance`` (no learned scale, no running statistics) or ``batch``."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else BatchNorm(channels)


class Dropout(nn.Module):
    """Dropout that may stay on in translation, each image's mask drawn from its own generator."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p
        self.generators: Sequence[torch.Generator] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop entries of ``x`` [B,C,H,W] in training, and in evaluation where `generators` are set (one per image)."""
        if self.training or self.generators is None:
            return functional.dropout(x, self.p, self.training)
        kept = torch.stack([torch.rand(x.shape[1:], generator=own) >= self.p for own in self.generators])
        return x * kept.to(x) / (1 - self.p)


class BlurDown(nn.Module):
    """Halve the size without aliasing: the binomial filter [1, 2, 1] with mirrored borders, then every other pixel."""

    filter: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filter", torch.outer(line, line).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] to [B,C,ceil(H/2),ceil(W/2)]."""
        mirrored = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(mirrored, self.filter.to(x), stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """`doubled` as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,H,W] to [B,C,2H,2W]."""
        return doubled(x)


def doubled(x: torch.Tensor) -> torch.Tensor:
    """[B,C,H,W] to [B,C,2H,2W] by the filter [1, 3, 3, 1], which is bilinear interpolation; the border is repeated."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def padded(
    layers: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, multiple: int, border: str = "reflect"
) -> torch.Tensor:
    """Apply layers that need sides of a `multiple`: go on beyond the lower and right border, cut the result back.

    Args:
        layers: from ``x`` [B,C,H,W] to images of the same size.
        x: see above.
        multiple: see above.
        border: what lies beyond, a mode of `torch.nn.functional.pad`.
    """
    height, width = x.shape[2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return layers(x)
    return layers(functional.pad(x, (0, right, 0, below), mode=border))[..., :height, :width]


def initialise(network: nn.Module, how: str, gain: float) -> nn.Module:
    """Draw the weights from torch's global generator: ``normal`` N(0, gain²) or ``xavier`` with that gain; biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if how == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            else:
                nn.init.xavier_normal_(module.weight, gain=gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
    return network
