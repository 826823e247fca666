"""LMI with plain tensor operations: any device, every option, and gradients.

Memory is bounded by working through rows in chunks, on a GPU through several images at once. Gradients keep to that bound:
the joint histograms of each chunk and offset are made again on the way back instead of being kept.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch.utils.checkpoint import checkpoint

from .lmi_windows import LmiOptions, kernel_table, reference_positions, sliding_positions

CHUNK_BYTES = 96 * 2**20
GPU_CHUNK_BYTES = 2**30  # fewer, larger operations: a GPU waits for the next one longer than it works


def scores(
    reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions, rows: range | None = None
) -> torch.Tensor:
    """Information between each pixel's reference window and every sliding window.

    Args:
        reference, sliding: grey levels (times 255, quantised) as floats, ``[B, H, W]``.
        options: see `LmiOptions`.
        rows: image rows to work on; all if left out.

    Returns:
        ``[B, rows, W, offsets * offsets]`` in the order of the search, row offset first.
    """
    height, width = reference.shape[1:]
    rows = range(height) if rows is None else rows
    device = reference.device
    ref_rows, by_row = _positions(height, options, device)
    ref_cols, by_col = _positions(width, options, device)
    kernels_s, kernels_y = (_kernels(_padded(image), options) for image in (reference, sliding))
    chunk = slice(rows.start, rows.stop)

    def at(one_row: torch.Tensor, one_col: torch.Tensor) -> torch.Tensor:
        window_s = _windows(kernels_s, ref_rows[chunk], ref_cols)
        return _information(window_s, _windows(kernels_y, one_row[chunk], one_col), options)

    if torch.is_grad_enabled() and (reference.requires_grad or sliding.requires_grad):
        found = [checkpoint(at, row, col, use_reentrant=False) for row in by_row for col in by_col]
    else:
        found = [at(row, col) for row in by_row for col in by_col]
    return torch.stack(found, dim=-1)


def reduced_map(reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """LMI map ``[B, H, W]`` of two stacks of grey levels ``[B, H, W]``, in chunks of rows or, on a GPU, of images."""
    height, width = reference.shape[1:]
    per_row = width * options.bins**2 * reference.element_size() * 4
    chunk = CHUNK_BYTES if reference.device.type == "cpu" else GPU_CHUNK_BYTES
    step = max(1, min(height, chunk // per_row))
    together = 1 if reference.device.type == "cpu" else max(1, chunk // (per_row * height))
    images = []
    for s, y in zip(reference.split(together), sliding.split(together), strict=True):
        chunks = [range(start, min(start + step, height)) for start in range(0, height, step)]
        images.append(torch.cat([_reduce(scores(s, y, options, rows), options) for rows in chunks], dim=1))
    return torch.cat(images)


@lru_cache(maxsize=16)
def _positions(length: int, options: LmiOptions, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of reference and sliding windows along an axis, int64, kept on the device."""
    found = reference_positions(length, options.window, options.pad), sliding_positions(length, options)
    with torch.inference_mode(False):
        one, other = (torch.from_numpy(positions).long().to(device) for positions in found)
    return one, other


@lru_cache(maxsize=16)
def table_on(device: torch.device, options: LmiOptions) -> torch.Tensor:
    """`kernel_table`, kept on a device."""
    with torch.inference_mode(False):
        return torch.from_numpy(kernel_table(options)).to(device)


@lru_cache(maxsize=16)
def _centres_on(device: torch.device, dtype: torch.dtype, options: LmiOptions) -> torch.Tensor:
    with torch.inference_mode(False):
        return torch.from_numpy(options.centres).to(device, dtype)


def table_rows(levels: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """Rows of `kernel_table` for whole grey levels, int32; what is not a number counts as far out of range."""
    rows = levels.float().nan_to_num(nan=math.inf).clamp(-options.margin, 255 + options.margin)
    return rows.to(torch.int32) + options.margin


def padded_table_rows(levels: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """The same with a row and a column of grey level 0 appended: ``[B, H + 1, W + 1]``, contiguous."""
    return torch.nn.functional.pad(table_rows(levels, options), (0, 1, 0, 1), value=options.margin).contiguous()


def _padded(image: torch.Tensor) -> torch.Tensor:
    """One more row and column, of grey level 0."""
    return torch.nn.functional.pad(image, (0, 1, 0, 1))


def _kernels(levels: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """Kernel values ``[..., bins]`` of grey levels: a table look-up for whole ones."""
    if options.quantise != "none" and levels.dtype == torch.float32:
        return table_on(levels.device, options)[table_rows(levels, options)]
    return torch.exp(
        -0.5 * ((levels[..., None] - _centres_on(levels.device, levels.dtype, options)) / options.bandwidth) ** 2
    )


def _windows(kernels: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
    """Kernel values ``[B, h, w, window * window, bins]`` of the windows at `rows` [h, window] and `cols` [w, window]."""
    picked = kernels[:, rows[:, None, :, None], cols[None, :, None, :]]
    return picked.flatten(3, 4)


def _information(s: torch.Tensor, y: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """Mutual information of two stacks of windows ``[..., n, bins]``."""
    eps = options.eps
    joint = s.transpose(-1, -2) @ y
    joint = joint / (joint.sum((-1, -2), keepdim=True) + eps)
    if options.marginals == "from-joint":
        p1, p2 = joint.sum(-1), joint.sum(-2)
    else:
        p1, p2 = s.mean(-2), y.mean(-2)
        p1, p2 = p1 / (p1.sum(-1, keepdim=True) + eps), p2 / (p2.sum(-1, keepdim=True) + eps)
    h1, h2, h12 = _entropy(p1, options), _entropy(p2, options), _entropy(joint.flatten(-2), options)
    information = h1 + h2 - h12
    return 2 * (information + eps) / (h1 + h2 + eps) if options.normalise else information


def _entropy(p: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    return -(p * torch.log2(p + options.eps)).sum(-1) / math.log2(options.log_base)


def _reduce(found: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    if options.reduce == "mean":
        return found.mean(-1)
    if options.reduce == "softmax":
        return (found * torch.softmax(found / options.temperature, -1)).sum(-1)
    return found.amax(-1)
