"""LMI on a CUDA device: fused Triton kernels, one warp for each pixel, nothing stored but the map.

So far the kernels have run in Triton's interpreter only, where the tests compare them with float64, and been compiled for
compute capability 9.0 (H100, H200) without spilled registers. They have not yet run on a GPU; `lmi.lmi_map` therefore
tries each once on a small image before it relies on it.

`mosaic_of_three`: the released code's search, windows of 3x3, up to 32 bins (27 are padded to 32).
    The nine sliding windows hold nine different pixels, most of them several times: a corner window holds four, a side
    window six. Reference pixels that meet the same sliding pixel are added up first, so the nine joint histograms take 49
    outer products instead of 81. All kernel values stay in registers; a thread holds 4 x 8 cells of the histogram.
    Operations for a pixel: 49 * 1024 multiply-adds for the histograms, and for each of their 9 * 1024 cells a logarithm
    and two multiply-adds: 68,608 and 9,216. Bytes: two grey levels (and a border's) in, one value out, 12; the table
    of kernel values (62 KB) stays in the L1 cache.
    Roofline for a map of 128 x 128 on an H100 SXM (132 processors, 1.755 GHz, each 128 multiply-adds and 16 logarithms a
    clock): multiply-adds 38 us, logarithms 41 us, memory 0.1 us; compute-bound, the two pipes side by side. The compiled
    kernel has 4,100 instructions for a pixel, 2,400 of them multiply-adds; at four a clock and processor 73 us. That is
    the best time to expect; where the reference window is constant (background) the pixel is skipped.
    Logarithms are the GPU's approximate ones: errors of their documented size move the map by less than 1e-6 (simulated).

`any_search`: windows that really move, larger windows, more bins. Tiles of 32 x 32 cells, positions from tables; for a pixel
    ``offsets**2 * window**2 * bins**2`` multiply-adds and ``offsets**2 * bins**2`` logarithms (bins padded to 32). Kernel
    values are loaded for every window again, so it is slower: 12 loads and 32 multiply-adds for an outer product.
"""

from __future__ import annotations

import math
from functools import lru_cache

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
    if options.search == "mosaic" and options.window == 3 and options.bins <= LANES:
        flags = {"ZERO_PAD": options.pad == "zero", "NORMALISE": options.normalise}
        mosaic_of_three[grid](*images, table, *others[:-2], out, *sizes, **flags, **COMPILER)
    else:
        flags = {"SIDE": options.window, "TILES": table.shape[1] // LANES, "NORMALISE": options.normalise}
        any_search[grid](*images, table, *others, out, *sizes, len(others[-1]), **flags, **COMPILER)
    return out


@lru_cache(maxsize=16)
def _constants(options: LmiOptions, height: int, width: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """What depends on options and size only, kept on the device: kernel values, their sums and bins, windows' positions."""
    values, first, last = (torch.from_numpy(part) for part in trimmed_table(options))
    table = torch.nn.functional.pad(values, (0, -options.bins % LANES)).contiguous()
    positions = [reference_positions(length, options.window, options.pad) for length in (height, width)]
    positions += [sliding_positions(length, options) for length in (height, width)]
    found = (table, table.sum(1), first, last, *(torch.from_numpy(one).contiguous() for one in positions))
    return tuple(tensor.to(device) for tensor in found)
