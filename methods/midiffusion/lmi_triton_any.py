"""The Triton kernel for any windows and any positions of them; grey levels come as rows of the kernel table.

A warp makes one pixel. Its 32 threads are 32 bins of the reference image, those of the sliding image are walked through four
by four as scalars: a cell of a histogram is a number of one thread.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .lmi_triton_common import _finished, _information, _inverse, _term


@triton.jit
def _marginal(image, rows, cols, table, mass, first, last, stride, eps, SIDE: tl.constexpr, TILES: tl.constexpr):
    """Entropy of the window at `rows` and `cols` (pointers) in bits, and the bins it touches."""
    total, low, high = eps * 0, 32 * TILES, 0
    for r in range(SIDE):
        for c in tl.static_range(SIDE):
            level = tl.load(image + tl.load(rows + r) * stride + tl.load(cols + c))
            total += tl.load(mass + level)
            low, high = tl.minimum(low, tl.load(first + level)), tl.maximum(high, tl.load(last + level))
    own, h = _inverse(total + SIDE * SIDE * eps), tl.zeros((32,), tl.float32)
    for tile in range(TILES):
        counts = tl.zeros((32,), tl.float32)
        for r in range(SIDE):
            for c in tl.static_range(SIDE):
                level = tl.load(image + tl.load(rows + r) * stride + tl.load(cols + c))
                counts += tl.load(table + level * (32 * TILES) + tile * 32 + tl.arange(0, 32))
        h += _term(counts, own, eps)
    return own * tl.sum(h), low, high


@triton.jit
def _joint(
    ref, slide, ref_rows, ref_cols, rows, cols, table, mass, stride, eps, low, high,
    SIDE: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """Joint entropy of two windows in bits; the sliding one touches the bins ``low <= b < high``."""
    z, h, line = eps * 0, tl.zeros((32,), tl.float32), tl.arange(0, 32)
    for r in range(SIDE):
        for c in tl.static_range(SIDE):
            mass_s = tl.load(mass + tl.load(ref + tl.load(ref_rows + r) * stride + tl.load(ref_cols + c)))
            z += mass_s * tl.load(mass + tl.load(slide + tl.load(rows + r) * stride + tl.load(cols + c)))
    inverse = _inverse(z + eps)
    for tile in range(TILES):
        for b in range(low // 4 * 4, high, 4):  # rows of the table are a multiple of four long
            c0, c1, c2, c3 = h * 0, h * 0, h * 0, h * 0
            for r in range(SIDE):
                for c in tl.static_range(SIDE):
                    level_s = tl.load(ref + tl.load(ref_rows + r) * stride + tl.load(ref_cols + c))
                    level_y = tl.load(slide + tl.load(rows + r) * stride + tl.load(cols + c))
                    s = tl.load(table + level_s * (32 * TILES) + tile * 32 + line)
                    y = table + level_y * (32 * TILES) + b
                    c0 += s * tl.load(y)
                    c1 += s * tl.load(y + 1)
                    c2 += s * tl.load(y + 2)
                    c3 += s * tl.load(y + 3)
            h += _term(c0, inverse, eps) + _term(c1, inverse, eps) + _term(c2, inverse, eps) + _term(c3, inverse, eps)
    return inverse * tl.sum(h)


@triton.jit
def any_search(
    ref, slide, table, mass, first, last, ref_rows, ref_cols, rows, cols, out,
    height, width, eps, per_bit, offsets,
    SIDE: tl.constexpr, TILES: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """Any positions of the sliding windows, any window, any number of bins; see the module."""
    image, i, j = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.program_id(0)
    plane, stride = image * (height + 1) * (width + 1), width + 1
    ref, slide, ref_rows, ref_cols = ref + plane, slide + plane, ref_rows + SIDE * i, ref_cols + SIDE * j
    h1, _, _ = _marginal(ref, ref_rows, ref_cols, table, mass, first, last, stride, eps, SIDE, TILES)
    best = eps * 0 - 1e30
    for o in range(offsets * offsets):
        row, col = rows + (o // offsets * height + i) * SIDE, cols + (o % offsets * width + j) * SIDE
        h2, low, high = _marginal(slide, row, col, table, mass, first, last, stride, eps, SIDE, TILES)
        h12 = _joint(ref, slide, ref_rows, ref_cols, row, col, table, mass, stride, eps, low, high, SIDE, TILES)
        best = tl.maximum(best, _information(h1, h2, h12, eps / per_bit, NORMALISE))
    tl.store(out + (image * height + i) * width + j, _finished(best, per_bit, NORMALISE))
