"""Local mutual information (LMI): the statistical map that guides MIDiffusion (paper Def. 3, Eq. 8, Prop. 1).

For every pixel, the mutual information between the grey levels in the window of the reference image around it and those
in windows of the sliding image near it; the largest counts. The reference is the clean image (the source when
translating), the sliding one the noisy image.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from xmodbench.commands import documentation
from xmodbench.errors import UserError
from xmodbench.learning.trial import works

from . import lmi_torch
from .lmi_windows import LmiOptions

__all__ = ["LmiOptions", "lmi_map", "lmi_scores", "path_of"]

Path = Literal["auto", "compiled", "triton", "torch"]


def lmi_map(
    reference: torch.Tensor,
    sliding: torch.Tensor,
    options: LmiOptions | None = None,
    *,
    differentiable: bool = False,
    path: Path = "auto",
    **changes,
) -> torch.Tensor:
    """LMI map of a batch of images.

    Args:
        reference: the image whose windows stay in place, float ``[B, 1, H, W]``, nominally in ``[0, 1]``.
        sliding: the image whose windows are searched, same shape; a noisy image may leave ``[0, 1]``.
        options: see `LmiOptions`; the released code's if left out.
        differentiable: let gradients flow to both images. Grey levels are then not quantised, and a maximum over the
            search becomes the soft one (`LmiOptions.temperature`); both change the map.
        path: which implementation: ``compiled`` (CPU, numba), ``triton`` (CUDA) or ``torch`` (any device, every option);
            ``auto`` takes the fastest there is.
        changes: single options, such as ``normalise=False``.

    Returns:
        ``[B, 1, H, W]`` on the same device: bits, or symmetric uncertainty (nominally 0 to 1, 2 where the sliding window
        has left the range of the bins) if normalised. float32 without gradient, following the released code to 5e-6;
        if `differentiable`, of the images' type (float32 or float64) and with their graph.

    Raises:
        UserError: shapes differ, an option has no meaning, or `path` cannot do what is asked.
    """
    options = (options or LmiOptions()).but(**changes)
    if differentiable:
        options = options.but(quantise="none", reduce="softmax" if options.reduce == "max" else options.reduce)
    with torch.set_grad_enabled(differentiable and torch.is_grad_enabled()):
        s, y = _grey_levels(reference, sliding, options)
        chosen = _path(path, s.device, options)
        if chosen == "torch":
            found = lmi_torch.reduced_map(s, y, options)
            return (found if differentiable else found.float())[:, None]
        return (_compiled if chosen == "compiled" else _fused)(s, y, options)[:, None]


@torch.no_grad()
def lmi_scores(
    reference: torch.Tensor,
    sliding: torch.Tensor,
    options: LmiOptions | None = None,
    rows: range | None = None,
    **changes,
) -> torch.Tensor:
    """All scores of the search before the maximum is taken: ``[B, rows, W, offsets]``, row offset first.

    Works on plain tensors and materialises the joint histograms of `rows`, so ask for few rows at a time.
    Float64 input is worked on in float64.
    """
    options = (options or LmiOptions()).but(**changes)
    s, y = _grey_levels(reference, sliding, options)
    return lmi_torch.scores(s, y, options, rows)


def path_of(device: str, options: LmiOptions) -> str:
    """Which implementation makes maps on a device where none is asked for; for records."""
    return _path("auto", torch.empty(0, device=device).device, options)


def _path(asked: Path, device: torch.device, options: LmiOptions) -> Path:
    """The implementation to use."""
    kernel = {"cpu": "compiled", "cuda": "triton"}.get(device.type) if options.fusable else None
    if asked == "auto":
        return kernel if kernel == "compiled" or (kernel == "triton" and _trusted(device, options)) else "torch"
    if asked not in ("torch", kernel):
        problem = f"path '{asked}' cannot make this map on {device.type}"
        raise UserError(
            problem, "lmi_map", f"use path='torch', or see {documentation('lmi.md')} for what each path covers"
        )
    return asked


@lru_cache(maxsize=64)
def _trusted(device: torch.device, options: LmiOptions) -> bool:
    """Whether the Triton kernel for these options works here: tried once on a small image, against plain tensors.

    It is compiled on the user's machine, for a driver and a compiler the tests have not seen.
    """
    try:
        import triton  # noqa: F401
    except ImportError:  # torch brings it on Linux only
        return False
    levels = torch.linspace(-60, 320, 2 * 9 * 10, device=device).round().reshape(2, 9, 10)
    want = lmi_torch.reduced_map(levels, levels.flip(2), options)
    return works("LMI kernel", "map is", lambda: _fused(levels, levels.flip(2), options), want, 2e-5)


def _compiled(s: torch.Tensor, y: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    from . import lmi_cpu

    rows = (lmi_torch.padded_table_rows(levels, options).numpy() for levels in (s, y))
    found = lmi_cpu.compiled_map(*rows, options, torch.get_num_threads())
    if not options.normalise:
        found /= np.float32(math.log2(options.log_base))
    return torch.from_numpy(found)


def _fused(s: torch.Tensor, y: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    from . import lmi_triton

    with torch.cuda.device_of(s):
        return lmi_triton.fused_map(s, y, options)


def smoothed(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images [B, H, W] smoothed by a Gaussian of `sigma` pixels, cut off at 4 sigma; mirrored, the border repeated."""
    reach = min(int(4 * sigma + 0.5), *images.shape[1:])
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    weights = weights / weights.sum()
    for _ in range(2):  # along the rows, then along the columns
        mirrored = torch.cat([images[:, :, :reach].flip(2), images, images[:, :, -reach:].flip(2)], 2)
        images = torch.nn.functional.conv1d(mirrored.flatten(0, 1)[:, None], weights[None, None])
        images = images.view(len(mirrored), mirrored.shape[1], -1).transpose(1, 2)
    return images


def _grey_levels(
    reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    if reference.shape != sliding.shape or reference.ndim != 4 or reference.shape[1] != 1:
        shapes = f"{tuple(reference.shape)} and {tuple(sliding.shape)}"
        raise UserError(f"images of shapes {shapes}", "lmi_map", "give two equal shapes [B, 1, H, W]")
    s, y = (image[:, 0] if image.dtype == torch.float64 else image[:, 0].float() for image in (reference, sliding))
    if options.smooth:
        s, y = smoothed(s, options.smooth), smoothed(y, options.smooth)
    if options.out_of_range == "clip":
        y = y.clamp(0, 1)
    elif options.out_of_range == "scale":
        low, high = y.amin((1, 2), keepdim=True), y.amax((1, 2), keepdim=True)
        y = (y - low) / (high - low).clamp_min(1e-12)
    quantise = {"trunc": torch.trunc, "round": torch.round, "none": lambda levels: levels}[options.quantise]
    return quantise(255 * s), quantise(255 * y)
