"""Local mutual information (LMI): the statistical map that guides MIDiffusion (paper Def. 3, Eq. 8, Prop. 1).

For every pixel, the mutual information between the grey levels in the window of the reference image around it and those
in windows of the sliding image near it; the largest counts. The reference is the clean image (the source when
translating), the sliding one the noisy image.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from xmodbench.errors import UserError

from . import lmi_torch
from .lmi_windows import LmiOptions

__all__ = ["LmiOptions", "lmi_map", "lmi_scores"]


@torch.no_grad()
def lmi_map(
    reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions | None = None, **changes
) -> torch.Tensor:
    """LMI map of a batch of images.

    Args:
        reference: the image whose windows stay in place, float ``[B, 1, H, W]``, nominally in ``[0, 1]``.
        sliding: the image whose windows are searched, same shape; a noisy image may leave ``[0, 1]``.
        options: see `LmiOptions`; the released code's if left out.
        changes: single options, such as ``normalise=False``.

    Returns:
        float32 ``[B, 1, H, W]`` on the same device, without gradient: bits, or symmetric uncertainty (nominally 0 to 1,
        2 where the sliding window has left the range of the bins) if normalised. Follows the released code to 5e-6.

    Raises:
        UserError: shapes differ, or an option has no meaning.
    """
    options = (options or LmiOptions()).but(**changes)
    s, y = _grey_levels(reference, sliding, options)
    if s.device.type == "cpu":
        from . import lmi_cpu

        if lmi_cpu.supports(options):
            found = lmi_cpu.compiled_map(
                _table_rows(s, options), _table_rows(y, options), options, torch.get_num_threads()
            )
            if not options.normalise:
                found /= np.float32(math.log2(options.log_base))
            return torch.from_numpy(found)[:, None]
    return lmi_torch.reduced_map(s, y, options)[:, None]


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


def _grey_levels(
    reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    if reference.shape != sliding.shape or reference.ndim != 4 or reference.shape[1] != 1:
        shapes = f"{tuple(reference.shape)} and {tuple(sliding.shape)}"
        raise UserError(f"images of shapes {shapes}", "lmi_map", "give two equal shapes [B, 1, H, W]")
    s, y = (image[:, 0] if image.dtype == torch.float64 else image[:, 0].float() for image in (reference, sliding))
    if options.out_of_range == "clip":
        y = y.clamp(0, 1)
    elif options.out_of_range == "scale":
        low, high = y.amin((1, 2), keepdim=True), y.amax((1, 2), keepdim=True)
        y = (y - low) / (high - low).clamp_min(1e-12)
    quantise = {"trunc": torch.trunc, "round": torch.round, "none": lambda levels: levels}[options.quantise]
    return quantise(255 * s), quantise(255 * y)


def _table_rows(levels: torch.Tensor, options: LmiOptions) -> np.ndarray:
    """Rows of the kernel table, with a row and a column of grey level 0 appended: int32 ``[B, H + 1, W + 1]``."""
    rows = levels.float().clamp(-options.margin, 255 + options.margin).to(torch.int32) + options.margin
    return torch.nn.functional.pad(rows, (0, 1, 0, 1), value=options.margin).contiguous().numpy()
