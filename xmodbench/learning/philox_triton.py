"""`philox.normal` as one Triton kernel: nothing is read but the seeds, nothing written but the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl

BLOCK = 256


@triton.jit
def _uniform(word):
    return (word.to(tl.float32) + 0.5) * 2.3283064365386963e-10


@triton.jit
def normals(out, seeds, draws, count, quarter, BLOCK: tl.constexpr):
    """A block of an image's counters; the four numbers of each stand a quarter of the image apart."""
    image, index = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    zero = index * 0
    draw = tl.load(draws + image).to(tl.int32) + zero
    a, b, c, d = tl.philox(tl.load(seeds + image), index, draw, zero, zero)
    first, second = tl.sqrt(-2 * tl.log(_uniform(a))), tl.sqrt(-2 * tl.log(_uniform(c)))
    one, other = 6.283185307179586 * _uniform(b), 6.283185307179586 * _uniform(d)
    place, inside = out + image * count + index, index < quarter
    tl.store(place, first * tl.cos(one), mask=inside)
    tl.store(place + quarter, first * tl.sin(one), mask=inside & (index + quarter < count))
    tl.store(place + 2 * quarter, second * tl.cos(other), mask=inside & (index + 2 * quarter < count))
    tl.store(place + 3 * quarter, second * tl.sin(other), mask=inside & (index + 3 * quarter < count))


def normal(seeds: torch.Tensor, draws: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """See `philox.normal`."""
    count = math.prod(size)
    quarter = (count + 3) // 4
    out = torch.empty((len(seeds), *size), dtype=torch.float32, device=seeds.device)
    grid = len(seeds), triton.cdiv(quarter, BLOCK)
    # otherwise Triton launches on the process's present GPU, whichever the tensors are on
    with torch.cuda.device_of(seeds):
        normals[grid](out, seeds, draws, count, quarter, BLOCK=BLOCK, enable_fp_fusion=True)
    return out
