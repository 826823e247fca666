"""The domain-guided encoder: an image to a latent vector for each layer of the generator (Zhu et al. 2020, section 2.1)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .generator import latent_count


class Normalisation(nn.BatchNorm1d):
    """Batch normalisation whose running variance is that of the batches themselves, as in the training code.

    torch's is the estimate for the population, n / (n - 1) times as much. A latent vector has no more than one value in each
    of a batch of 16, so that all would be shorter by sqrt(15 / 16) in evaluation mode than they were in training.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C] or [N, C, H, W] to the same shape."""
        if not self.training:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        with torch.no_grad():
            variance, mean = torch.var_mean(x.float(), [0, *range(2, x.ndim)], correction=0)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
            self.num_batches_tracked += 1
        return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


class ConvUnit(nn.Module):
    """Convolution, leaky ReLU of slope 0.2, batch normalisation, in this order (as in the training code)."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = Normalisation(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, H, W]."""
        return self.norm(functional.leaky_relu(self.conv(x), 0.2))


class ResidualBlock(nn.Module):
    """Half the size by averaging, then two convolution units around which a shortcut leads."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        hidden = min(inputs, outputs)
        self.units = nn.Sequential(ConvUnit(inputs, hidden, 3), ConvUnit(hidden, outputs, 3))
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), Normalisation(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        x = functional.avg_pool2d(x, 2)
        return self.units(x) + self.shortcut(x)


class Encoder(nn.Module):
    """Images to latent vectors in W+; the vectors themselves are batch normalised.

    In evaluation mode an image's vectors depend on that image alone.

    Args:
        settings: resolved, with ``resolution``, ``latent_size``, ``encoder_width``, ``encoder_max``.
    """

    def __init__(self, settings):
        super().__init__()
        s = settings
        self.shape = (latent_count(s.resolution), s.latent_size)
        channels = [min(s.encoder_width * 2**step, s.encoder_max) for step in range(int(math.log2(s.resolution)) - 1)]
        blocks = [ResidualBlock(*pair) for pair in pairwise(channels)]
        self.body = nn.Sequential(ConvUnit(1, channels[0], 5), *blocks)
        count = math.prod(self.shape)
        self.dense = nn.Linear(16 * channels[-1], count)
        self.norm = Normalisation(count)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 1, resolution, resolution] in [-1, 1] to latent vectors [N, latent_count, latent_size]."""
        return self.norm(self.dense(self.body(x).flatten(1))).reshape(-1, *self.shape)
