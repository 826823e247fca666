"""LMI on a CUDA device: fused Triton kernels, one warp for each pixel, nothing stored but the map.

So far the kernels have run in Triton's interpreter only, where the tests compare them with float64, and been compiled for
compute capability 9.0 (H100, H200), where tests see to it that there is no local memory and that no value is laid out anew
among the threads (no ``convert_layout``), with Triton 3.6 and with the locked one. They have not yet run on a GPU;
`lmi.lmi_map` therefore tries each once on a small image before it relies on it.

`lmi_triton_mosaic`: the released code's search, windows of 3x3, up to 32 bins.
    The nine sliding windows hold nine different pixels, most of them several times: a corner window holds four, a side
    window six. Reference pixels that meet the same sliding pixel are added up first, so the nine joint histograms take 49
    outer products instead of 81. A thread is a bin of the sliding image (27 of 32 are used) and walks through the bins that
    the reference window reaches, in a smooth slice 12.5 of 27 on average, in pairs.
    Compiled by Triton 3.9 for an H100 and zero padding: 124 registers, so that 16 warps are at work in a processor; inside
    the border about 840 instructions around the walk and 199 for two bins of it: 2,230 for a pixel of a smooth slice. At
    four a clock, on 132 processors of 1.755 GHz, a map of 128 x 128 takes 40 us, if the reference is as busy as noise 63 us.
    Its logarithms alone would take 17 us, 9 * 13 * 32 for a pixel, of which a processor makes 16 a clock; its multiply-adds,
    two for each of these cells and 49 outer products of 13 x 32, 15 us. Memory does not count: 12 bytes go in and out, and
    the table of kernel values (62 KB) stays in the first cache.
    Where the reference window is constant (background) the pixel is skipped.
    Logarithms are the GPU's approximate ones: errors of their documented size move the map by less than 1e-6 (simulated);
    reciprocals, too, whose last digit may be off.

    A map of an image with itself has no work to halve: of the nine joint histograms only that of the window in place is
    symmetric, and its cells mirror each other across threads. It is made once for each image, not at every step.

`lmi_triton_any`: windows that really move, larger windows, more bins. Positions come from tables, and kernel values are
    loaded for every window again: five loads for four multiply-adds.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from .lmi_torch import padded_table_rows
from .lmi_triton_any import any_search
from .lmi_triton_mosaic import mosaic_of_three
from .lmi_windows import LmiOptions, reference_positions, sliding_positions, trimmed_table

LANES = 32
COMPILER = {"num_warps": 1, "enable_fp_fusion": True}  # Triton 3.10 no longer fuses multiply and add unless told to


def fused_map(reference: torch.Tensor, sliding: torch.Tensor, options: LmiOptions) -> torch.Tensor:
    """LMI map ``[B, H, W]``, float32, of two stacks of whole grey levels ``[B, H, W]`` on one device.

    Args:
        reference, sliding: grey levels (times 255, quantised).
        options: see `LmiOptions`; they must be `fusable`.
    """
    batch, height, width = reference.shape
    out = torch.empty((batch, height, width), dtype=torch.float32, device=reference.device)
    images = [padded_table_rows(levels, options) for levels in (reference, sliding)]
    table, *others = _constants(options, height, width, reference.device)
    sizes = (height, width, options.eps, 1 / math.log2(options.log_base))
    grid = (width, height, batch)
    if _mosaic(options):
        flags = {"ZERO_PAD": options.pad == "zero", "NORMALISE": options.normalise}
        mosaic_of_three[grid](*images, table, *others[:-2], out, *sizes, **flags, **COMPILER)
    else:
        flags = {"SIDE": options.window, "TILES": table.shape[1] // LANES, "NORMALISE": options.normalise}
        any_search[grid](*images, table, *others, out, *sizes, len(others[-1]), **flags, **COMPILER)
    return out


def _mosaic(options: LmiOptions) -> bool:
    """Whether the kernel made for the released code's search covers the options."""
    return options.search == "mosaic" and options.window == 3 and options.bins <= LANES


@lru_cache(maxsize=16)
def _constants(options: LmiOptions, height: int, width: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """What depends on options and size only, kept on the device: kernel values, their sums and bins, windows' positions."""
    values, first, last = trimmed_table(options)
    if _mosaic(options):  # of a window the least and the largest level tell: those with no bin must not stand out
        first, last = np.minimum.accumulate(first[::-1])[::-1], np.maximum.accumulate(last)
    table = torch.nn.functional.pad(torch.from_numpy(values), (0, -options.bins % LANES)).contiguous()
    positions = [reference_positions(length, options.window, options.pad) for length in (height, width)]
    positions += [sliding_positions(length, options) for length in (height, width)]
    found = (table, table.sum(1), *(torch.from_numpy(one.copy()) for one in (first, last, *positions)))
    return tuple(tensor.to(device) for tensor in found)
