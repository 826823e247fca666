"""Layers of StyleGAN2 (Karras et al. 2020, CVPR): equalised learning rate, low-pass resampling, modulated convolution.

All images and features are ``[N, C, H, W]``. Everything here can be differentiated twice.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from .filters import constant, filtered

EPSILON = 1e-8
BINOMIAL = (1, 3, 3, 1)


def activate(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of slope 0.2, times sqrt(2) so that the variance stays."""
    return functional.leaky_relu(x, 0.2) * math.sqrt(2)


def in_precision(x: torch.Tensor, half: bool) -> torch.Tensor:
    """Features for a layer: of 16 bits where it computes so, otherwise none of the 16 bits of an earlier one."""
    if half:
        return x.half()
    return x.float() if x.dtype == torch.float16 else x


def clamped(x: torch.Tensor, most: float | None) -> torch.Tensor:
    """``x`` between -`most` and `most`; as it is for None."""
    return x if most is None else x.clamp(-most, most)


def low_pass(x: torch.Tensor, pad: int, gain: float = 1.0, step: int = 1) -> torch.Tensor:
    """Filter each channel with the binomial [1, 3, 3, 1] in both directions.

    Args:
        x: features, zero outside.
        pad: zeros on each side; sizes become ``H + 2 * pad - 3``.
        gain: factor of the result.
        step: only every such pixel is computed.
    """
    kernel = constant(tuple(tuple(a * b * gain / 64 for b in BINOMIAL) for a in BINOMIAL), x.device, x.dtype)
    return filtered(x, kernel, (step, step), pad)


def upsample(x: torch.Tensor) -> torch.Tensor:
    """Images of twice the size: a zero after each pixel, then the low-pass filter."""
    n, c, h, w = x.shape
    spread = functional.pad(x.reshape(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * h, 2 * w)
    # one zero more in front than behind
    return low_pass(functional.pad(spread, (1, 0, 1, 0)), pad=1, gain=4)


def downsample(x: torch.Tensor) -> torch.Tensor:
    """Images of half the size: the low-pass filter at every other pixel."""
    return low_pass(x, pad=1, step=2)


class Linear(nn.Module):
    """Fully connected layer with equalised learning rate: weights are stored as N(0, 1) and scaled when used.

    Args:
        inputs, outputs: features.
        bias: its start.
        rate: multiplier of the learning rate of weights and bias.
        activation: leaky ReLU behind it.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0, activation: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.factor, self.rate, self.activation = rate / math.sqrt(inputs), rate, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs] to [N, outputs]."""
        x = functional.linear(x, self.weight * self.factor, self.bias * self.rate)
        return activate(x) if self.activation else x


class Conv(nn.Module):
    """Convolution with equalised learning rate; `down` halves the size with a low-pass filter before it.

    Args:
        inputs, outputs: channels.
        kernel: 1 or 3.
        down: halve the size.
        plain: neither bias nor activation.

    Attributes:
        half_precision, clamp: see `precision.use_half`.
    """

    half_precision: bool = False
    clamp: float | None = None

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, plain: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = None if plain else nn.Parameter(torch.zeros(outputs))
        self.factor, self.kernel, self.down = 1 / math.sqrt(inputs * kernel**2), kernel, down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, H, W] or half that size."""
        x = in_precision(x, self.half_precision)
        weight, padding, stride = (self.weight * self.factor).to(x.dtype), self.kernel // 2, 1
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.down and self.kernel == 1:
            x = downsample(x)
        elif self.down:
            x, padding, stride = low_pass(x, pad=2), 0, 2
        x = functional.conv2d(x, weight, bias, stride=stride, padding=padding)
        return clamped(x if bias is None else activate(x), self.clamp)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, and whose weights are then normalised (section 2.2, Eq. 1-3).

    Args:
        inputs, outputs: channels.
        kernel: 1 or 3.
        latent: length of the latent vector that styles are made from.
        up: double the size, with a low-pass filter behind it.
        demodulate: normalise; if not, the styles are scaled by ``1 / sqrt(inputs)``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, latent: int, up: bool = False, demodulate: bool = True):
        super().__init__()
        self.affine = Linear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.up, self.demodulate = up, demodulate
        self.factor = 1.0 if demodulate else 1 / math.sqrt(inputs * kernel**2)

    def forward(self, x: torch.Tensor, w: torch.Tensor, fused: bool = False) -> torch.Tensor:
        """Features [N, inputs, H, W] and latent vectors [N, latent] to [N, outputs, H, W] or twice that size.

        Both ways of evaluation give the same: `fused` makes weights for each image and one convolution with groups, the
        other scales the features before and after an ordinary convolution, which is faster where gradients are needed.
        """
        with torch.autocast(w.device.type, enabled=False):  # as small as these are, rounding them gains nothing
            styles = self.affine(w.float()) * self.factor
        weight: torch.Tensor = self.weight
        if x.dtype == torch.float16 and self.demodulate:  # which takes out of both whatever they are multiplied by
            largest = weight.abs().amax((1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel())
            weight, styles = weight / largest, styles / styles.abs().amax(1, keepdim=True)
        return (self._fused if fused else self._unfused)(x, weight, styles)

    def _fused(self, x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        weight = weight * styles[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + EPSILON)
        if self.up:
            # transposed convolutions expect inputs before outputs
            weight = weight.transpose(1, 2)
        x = self._convolve(x.reshape(1, -1, h, w), weight.flatten(0, 1).to(x.dtype), groups=n)
        return x.reshape(n, -1, *x.shape[2:])

    def _unfused(self, x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        used = (weight.transpose(0, 1) if self.up else weight).to(x.dtype)
        x = self._convolve(x * styles[:, :, None, None].to(x.dtype), used, groups=1)
        if self.demodulate:
            with torch.autocast(x.device.type, enabled=False):
                norms = styles.square() @ weight.square().sum((2, 3)).t()
            x = x * torch.rsqrt(norms + EPSILON)[:, :, None, None].to(x.dtype)
        return x

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
        if not self.up:
            return functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        return low_pass(functional.conv_transpose2d(x, weight, stride=2, groups=groups), pad=1, gain=4)
