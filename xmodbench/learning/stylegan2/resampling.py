"""Resampling of single-channel images under affine maps, without aliasing, that can be differentiated twice."""

from __future__ import annotations

from functools import cache

import torch
from torch.nn import functional

from xmodbench.devices import handed

from .filters import constant, filtered

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""Decomposition low-pass of Daubechies' wavelet sym6, of sum sqrt(2), as wavelet libraries print it."""

MARGIN = len(SYM6) // 4
"""Pixels of the original grid by which the filter reaches beyond an image."""


def _filtered(x: torch.Tensor, reverse: bool, gain: float, step: int) -> torch.Tensor:
    """Correlate ``x`` [N,1,H,W] with SYM6 (of sum 1, reversed or not) along both axes, keeping every `step`-th pixel."""
    factor = gain**0.5 / sum(SYM6)
    line = constant(tuple(value * factor for value in (SYM6[::-1] if reverse else SYM6)), x.device, x.dtype)
    x = x.transpose(0, 1)  # images as channels of a depth-wise convolution, which is much quicker than one channel
    x = filtered(filtered(x, line[None], (1, step)), line[:, None], (step, 1))
    return x.transpose(0, 1)


def double(x: torch.Tensor) -> torch.Tensor:
    """[N,1,H,W] to [N,1,2H,2W]: a zero after each pixel, then the low-pass filter."""
    n, _, h, w = x.shape
    spread = functional.pad(x.reshape(n, 1, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, 1, 2 * h, 2 * w)
    return _filtered(functional.pad(spread, (6, 5, 6, 5)), reverse=True, gain=4.0, step=1)


def halve(x: torch.Tensor) -> torch.Tensor:
    """[N,1,2(H+6),2(W+6)] to [N,1,H,W]: the low-pass filter at every other pixel, the margin cut off."""
    return _filtered(x[:, :, 1:-1, 1:-1], reverse=False, gain=1.0, step=2)


def sample_gathered(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Bilinear ``x`` [N,1,H,W] at ``grid`` [N,h,w,2] (x, y from -1 to 1 between the outer borders); zeros outside."""
    h, w = x.shape[2:]
    column, row = ((grid + 1) * constant((w, h), grid.device, grid.dtype) - 1).div(2).unbind(-1)
    left, top = column.floor(), row.floor()
    found = torch.zeros_like(column)
    for dy in (0, 1):
        for dx in (0, 1):
            i, j = top + dy, left + dx
            weight = (1 - (row - i).abs()) * (1 - (column - j).abs())
            inside = (i >= 0) & (i < h) & (j >= 0) & (j < w)
            place = (i.clamp(0, h - 1) * w + j.clamp(0, w - 1)).long()
            values = x.flatten(1).gather(1, place.flatten(1)).reshape(place.shape)
            found = found + values * weight * inside
    return found[:, None]


def sample_native(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """The same by torch's own function."""
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@cache
def sampler_on(device: str):
    """torch's sampler where it can be differentiated twice on a device (not every version can), ours elsewhere."""
    x = torch.ones(1, 1, 2, 2, device=device, requires_grad=True)
    grid = torch.zeros(1, 2, 2, 2, device=device)
    try:
        (gradient,) = torch.autograd.grad(sample_native(x * x, grid).sum(), x, create_graph=True)
        gradient.sum().backward()
    except RuntimeError:
        return sample_gathered
    return sample_native


def warp(x: torch.Tensor, inverse: torch.Tensor, low_pass: bool = True) -> torch.Tensor:
    """Move images by affine maps; beyond their borders they are mirrored.

    Args:
        x: ``[N, 1, H, W]``.
        inverse: ``[N, 3, 3]``, places in the result to places in `x`, in pixels from the centre (x, y, 1); best on the
            CPU, so that no GPU has to be waited for.
        low_pass: at twice the resolution between two low-pass filters, so that nothing aliases (Karras et al. 2020,
            appendix B); otherwise plain bilinear.
    """
    h, w = x.shape[2:]
    left, top, right, bottom = _margins(inverse, h, w, MARGIN if low_pass else 0)
    x = functional.pad(x, (left, right, top, bottom), mode="reflect")
    inverse = translation(inverse, (left - right) / 2, (top - bottom) / 2) @ inverse
    out_h, out_w = h, w
    if low_pass:
        x = double(x)
        there, back = translation(inverse, 0.5, 0.5), translation(inverse, -0.5, -0.5)
        inverse = back @ scaling(inverse, 2.0, 2.0) @ inverse @ scaling(inverse, 0.5, 0.5) @ there
        out_h, out_w = 2 * (h + 2 * MARGIN), 2 * (w + 2 * MARGIN)
    inverse = scaling(inverse, 2 / x.shape[3], 2 / x.shape[2]) @ inverse @ scaling(inverse, out_w / 2, out_h / 2)
    inverse = handed(inverse, str(x.device))
    grid = functional.affine_grid(inverse[:, :2], [len(x), 1, out_h, out_w], align_corners=False)
    x = sampler_on(str(x.device))(x, grid)
    return halve(x) if low_pass else x


def _margins(inverse: torch.Tensor, h: int, w: int, reach: int) -> list[int]:
    """Pixels (left, top, right, bottom) by which images must be extended so that no map reaches beyond them."""
    cx, cy = (w - 1) / 2, (h - 1) / 2
    corners = inverse.new_tensor([[-cx, -cy, 1], [cx, -cy, 1], [cx, cy, 1], [-cx, cy, 1]])
    places = (inverse @ corners.t())[:, :2].transpose(0, 1).flatten(1)  # x, y of all corners
    beyond = torch.cat([(-places).amax(1), places.amax(1)]) + 2 * reach - inverse.new_tensor([cx, cy, cx, cy])
    most = inverse.new_tensor([w - 1, h - 1, w - 1, h - 1])
    return [int(margin) for margin in beyond.clamp(min=0).minimum(most).ceil().tolist()]


def _matrices(like: torch.Tensor, rows) -> torch.Tensor:
    """Matrices [..., 3, 3] from entries that are numbers or tensors of one shape."""
    entries = [torch.as_tensor(value, dtype=like.dtype, device=like.device) for row in rows for value in row]
    stacked = torch.stack(torch.broadcast_tensors(*entries), -1)
    return stacked.reshape(*stacked.shape[:-1], 3, 3)


def translation(like: torch.Tensor, x, y) -> torch.Tensor:
    """Matrix that adds (x, y), on the device and in the precision of `like`; one for each entry where these are tensors."""
    return _matrices(like, [[1, 0, x], [0, 1, y], [0, 0, 1]])


def scaling(like: torch.Tensor, x, y) -> torch.Tensor:
    """Matrix that multiplies by (x, y)."""
    return _matrices(like, [[x, 0, 0], [0, y, 0], [0, 0, 1]])


def rotation(like: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Matrix that turns by an angle in radians, from x towards y."""
    return _matrices(like, [[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
