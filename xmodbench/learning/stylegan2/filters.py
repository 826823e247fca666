"""Constant filters whose second derivative costs no more than the first, and constants that are made once per device."""

from __future__ import annotations

from functools import cache

import torch
from torch.nn import functional


@cache
def constant(values: tuple, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of (nested) numbers; made once, since copying it to a GPU makes the GPU's queue wait."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def filtered(x: torch.Tensor, kernel: torch.Tensor, step: tuple[int, int] = (1, 1), pad: int = 0) -> torch.Tensor:
    """Correlate every channel of ``x`` [N,C,H,W] with the same ``kernel`` [h,w].

    Args:
        step: only every such row and column is computed.
        pad: zeros on each side.
    """
    return _Correlate.apply(x, kernel, step, pad)


class _Correlate(torch.autograd.Function):
    """The correlation. Its gradient is its adjoint, whose own is the correlation again.

    torch's second derivative of a convolution also looks for that of the kernel, which nobody asks for here, channel by
    channel and with kernels as large as the image.
    """

    @staticmethod
    def forward(ctx, x, kernel, step, pad):
        ctx.kernel, ctx.step, ctx.pad, ctx.size = kernel, step, pad, x.shape[2:]
        with torch.autocast(x.device.type, enabled=False):
            return functional.conv2d(x, _for_each_channel(kernel, x), stride=step, padding=pad, groups=x.shape[1])

    @staticmethod
    def backward(ctx, gradient):
        return _Spread.apply(gradient, ctx.kernel, ctx.step, ctx.pad, ctx.size), None, None, None


class _Spread(torch.autograd.Function):
    """The adjoint: each value is spread over the places it was computed from, which are ``size``."""

    @staticmethod
    def forward(ctx, y, kernel, step, pad, size):
        ctx.kernel, ctx.step, ctx.pad = kernel, step, pad
        lacking = [
            whole - ((part - 1) * by - 2 * pad + side)
            for whole, part, by, side in zip(size, y.shape[2:], step, kernel.shape, strict=True)
        ]
        with torch.autocast(y.device.type, enabled=False):
            if y.device.type != "cpu":
                return _spread(y, kernel, step, pad, lacking)
            weight = _for_each_channel(kernel, y)
            return functional.conv_transpose2d(y, weight, None, step, pad, lacking, groups=y.shape[1])

    @staticmethod
    def backward(ctx, gradient):
        return _Correlate.apply(gradient, ctx.kernel, ctx.step, ctx.pad), None, None, None, None


def _spread(y: torch.Tensor, kernel: torch.Tensor, step: tuple[int, int], pad: int, lacking: list[int]) -> torch.Tensor:
    """The adjoint as a correlation with the turned kernel, of `y` with zeros between its values where it was strided.

    For GPUs, where a depth-wise transposed convolution has no quick kernel of its own.
    """
    n, c, h, w = y.shape
    if step != (1, 1):
        y = functional.pad(y[:, :, :, None, :, None], (0, step[1] - 1, 0, 0, 0, step[0] - 1))
        y = y.reshape(n, c, h * step[0], w * step[1])
    (top, left), (rows, columns) = (side - 1 - pad for side in kernel.shape), lacking
    # behind the last value stand the zeros of its step already
    y = functional.pad(y, (left, left + columns - step[1] + 1, top, top + rows - step[0] + 1))
    return functional.conv2d(y, _for_each_channel(kernel.flip(0, 1), y), groups=c)


def _for_each_channel(kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)
