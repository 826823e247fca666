"""The Triton kernel for the released code's search with windows of 3x3; grey levels come as rows of the kernel table.

A warp makes one pixel. Its 32 threads are the bins of the sliding image, all one-dimensional tensors have that one layout,
and the bins of the reference image, which is the smoother one, are walked through as scalars: a cell of a histogram is a
number of one thread. Threads meet only where an entropy is summed up over them.

In a line of a mosaic's window, offset 0 pairs three reference pixels with the sliding pixels (at, before, at), offset 2 with
(at, after, at), see `lmi_windows.sliding_positions`: two sliding pixels, which meet the sum of what they are paired with.
Where a window reaches over the zero-padded mosaic's border, the pixel *at* is outside and equals the one before or after.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .lmi_triton_common import _finished, _information, _inverse, _term

FLAT_MASS = tl.constexpr(1e-2)  # kernel mass above which a constant window's information is 0 to 1e-7 whatever eps does


@triton.jit
def _sums(s, first, last, OFFSET: tl.constexpr, BORDER: tl.constexpr):
    """Of three, what each sliding pixel (before, at, after) meets; `first`, `last` are 1 at the borders there are.

    Without `BORDER` there are none, and offsets 0 and 2 have a sum in common.
    """
    if OFFSET == 1:
        found = s[0], s[1], s[2]
    elif BORDER:
        if OFFSET == 0:
            found = s[1] + first * s[0], s[2] + (1 - first) * s[0], s[2]
        else:
            found = s[0], s[0] + (1 - last) * s[2], s[1] + last * s[2]
    else:
        found = s[1], s[0] + s[2], s[1]
    return found


@triton.jit
def _row_sums(s, first, last, OFFSET: tl.constexpr, BORDER: tl.constexpr):
    """`_sums` of three rows of three, column by column."""
    a = _sums((s[0][0], s[1][0], s[2][0]), first, last, OFFSET, BORDER)
    b = _sums((s[0][1], s[1][1], s[2][1]), first, last, OFFSET, BORDER)
    c = _sums((s[0][2], s[1][2], s[2][2]), first, last, OFFSET, BORDER)
    return (a[0], b[0], c[0]), (a[1], b[1], c[1]), (a[2], b[2], c[2])


@triton.jit
def _window(s, borders, A: tl.constexpr, B: tl.constexpr, BORDER: tl.constexpr):
    """For the window at offset (A, B), the sum of reference pixels that meets each of the nine sliding pixels."""
    rows = _row_sums(s, borders[0], borders[1], A, BORDER)
    return (
        _sums(rows[0], borders[2], borders[3], B, BORDER),
        _sums(rows[1], borders[2], borders[3], B, BORDER),
        _sums(rows[2], borders[2], borders[3], B, BORDER),
    )


@triton.jit
def _meet_line(found, s, y, B: tl.constexpr):
    """`found` and what a line adds, one product after the other, so that each is a multiply-add."""
    if B < 2:
        found = s[0] * y[0] + found
    found = s[1] * y[1] + found
    if B > 0:
        found = s[2] * y[2] + found
    return found


@triton.jit
def _meet(s, y, borders, A: tl.constexpr, B: tl.constexpr, BORDER: tl.constexpr):
    """``sum of s * y`` over the nine pairs of the window at offset (A, B): over its four, six or nine sliding pixels."""
    s, found = _window(s, borders, A, B, BORDER), y[1][1] * 0.0
    if A < 2:
        found = _meet_line(found, s[0], y[0], B)
    found = _meet_line(found, s[1], y[1], B)
    if A > 0:
        found = _meet_line(found, s[2], y[2], B)
    return found


@triton.jit
def _all_meet(s, y, borders, BORDER: tl.constexpr):
    """Nine sums, one for each offset."""
    return (
        _meet(s, y, borders, 0, 0, BORDER), _meet(s, y, borders, 0, 1, BORDER), _meet(s, y, borders, 0, 2, BORDER),
        _meet(s, y, borders, 1, 0, BORDER), _meet(s, y, borders, 1, 1, BORDER), _meet(s, y, borders, 1, 2, BORDER),
        _meet(s, y, borders, 2, 0, BORDER), _meet(s, y, borders, 2, 1, BORDER), _meet(s, y, borders, 2, 2, BORDER),
    )  # fmt: skip


@triton.jit
def _inverses(z, eps):
    return (
        _inverse(z[0] + eps), _inverse(z[1] + eps), _inverse(z[2] + eps),
        _inverse(z[3] + eps), _inverse(z[4] + eps), _inverse(z[5] + eps),
        _inverse(z[6] + eps), _inverse(z[7] + eps), _inverse(z[8] + eps),
    )  # fmt: skip


@triton.jit
def _plus_terms(h, counts, inverse, eps):
    """`h` with the terms of nine entropies added, each still to be multiplied by its ``inverse``."""
    return (
        h[0] + _term(counts[0], inverse[0], eps),
        h[1] + _term(counts[1], inverse[1], eps),
        h[2] + _term(counts[2], inverse[2], eps),
        h[3] + _term(counts[3], inverse[3], eps),
        h[4] + _term(counts[4], inverse[4], eps),
        h[5] + _term(counts[5], inverse[5], eps),
        h[6] + _term(counts[6], inverse[6], eps),
        h[7] + _term(counts[7], inverse[7], eps),
        h[8] + _term(counts[8], inverse[8], eps),
    )


@triton.jit
def _plus_bins(h, table, levels, low, high, y, borders, inverse, eps, BORDER: tl.constexpr):
    """`h` with the terms of the reference's bins ``low <= b < high``, two at a time, added to nine joint entropies."""
    for b in range(low // 2 * 2, high, 2):
        h = _plus_terms(h, _all_meet(_nine(table, levels, b, 32), y, borders, BORDER), inverse, eps)
        h = _plus_terms(h, _all_meet(_nine(table + 1, levels, b, 32), y, borders, BORDER), inverse, eps)
    return h


@triton.jit
def _best(h1, h2, own, h12, inverse, eps_bits, NORMALISE: tl.constexpr):
    """The largest information of nine windows, of which `h2` and `h12` are lines of terms."""
    best = h1 * 0 - 1e30
    for o in tl.static_range(9):
        marginal, joint = own[o] * tl.sum(h2[o]), inverse[o] * tl.sum(h12[o])
        best = tl.maximum(best, _information(h1, marginal, joint, eps_bits, NORMALISE))
    return best


@triton.jit
def _three(table, levels, bins, ROW: tl.constexpr):
    """Kernel values (or anything a table has) of three levels."""
    return (
        tl.load(table + levels[0] * ROW + bins),
        tl.load(table + levels[1] * ROW + bins),
        tl.load(table + levels[2] * ROW + bins),
    )


@triton.jit
def _nine(table, levels, bins, ROW: tl.constexpr):
    return _three(table, levels[0], bins, ROW), _three(table, levels[1], bins, ROW), _three(table, levels[2], bins, ROW)


@triton.jit
def _levels(image, rows, cols, i, j, stride):
    """Table rows of the 3x3 window around a pixel, three rows of three."""
    columns = tl.load(cols + 3 * j), tl.load(cols + 3 * j + 1), tl.load(cols + 3 * j + 2)
    return (
        _three(image, columns, tl.load(rows + 3 * i) * stride, 1),
        _three(image, columns, tl.load(rows + 3 * i + 1) * stride, 1),
        _three(image, columns, tl.load(rows + 3 * i + 2) * stride, 1),
    )


@triton.jit
def _least(v):
    rows = tl.minimum(tl.minimum(v[0][0], v[0][1]), v[0][2]), tl.minimum(tl.minimum(v[1][0], v[1][1]), v[1][2])
    return tl.minimum(tl.minimum(rows[0], rows[1]), tl.minimum(tl.minimum(v[2][0], v[2][1]), v[2][2]))


@triton.jit
def _most(v):
    rows = tl.maximum(tl.maximum(v[0][0], v[0][1]), v[0][2]), tl.maximum(tl.maximum(v[1][0], v[1][1]), v[1][2])
    return tl.maximum(tl.maximum(rows[0], rows[1]), tl.maximum(tl.maximum(v[2][0], v[2][1]), v[2][2]))


@triton.jit
def _largest(
    table, levels_s, levels_y, mass_s, mass_y, low, high, borders, eps, per_bit,
    BORDER: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """The largest information between the reference window, which reaches the bins ``low <= b < high``, and the others."""
    line, nothing = tl.arange(0, 32), tl.zeros((32,), tl.float32)
    zeros = (nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    ones = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    y = _nine(table, levels_y, line, 32)
    own = _inverses(_all_meet(ones, mass_y, borders, BORDER), 9 * eps)
    h2 = _plus_terms(zeros, _all_meet(ones, y, borders, BORDER), own, eps)
    own_s = _inverse(_meet(ones, mass_s, borders, 1, 1, False) + 9 * eps)
    counts_s = _meet(ones, _nine(table, levels_s, line, 32), borders, 1, 1, False)
    h1 = own_s * tl.sum(_term(counts_s, own_s, eps))
    inverse = _inverses(_all_meet(mass_s, mass_y, borders, BORDER), eps)
    h12 = _plus_bins(zeros, table, levels_s, low, high, y, borders, inverse, eps, BORDER)
    return _best(h1, h2, own, h12, inverse, eps / per_bit, NORMALISE)


@triton.jit
def mosaic_of_three(
    ref, slide, table, mass, first, last, ref_rows, ref_cols, out,
    height, width, eps, per_bit,
    ZERO_PAD: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """One pixel of the map, for at most 32 bins; see the module. `first` and `last` rise with the level."""
    image, i, j = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.program_id(0)
    plane, stride = image * (height + 1) * (width + 1), width + 1
    s = _levels(ref + plane, ref_rows, ref_cols, i, j, stride)
    y = _levels(slide + plane, ref_rows, ref_cols, i, j, stride)
    mass_s, mass_y, least, most = _nine(mass, s, 0, 1), _nine(mass, y, 0, 1), _least(s), _most(s)
    best = eps * 0
    if not ((least == most) & (9 * mass_s[0][0] * _least(mass_y) >= FLAT_MASS)):
        low, high = tl.load(first + least), tl.load(last + most)
        top, bottom, left, right = i == 0, i == height - 1, j == 0, j == width - 1
        borders = top.to(tl.float32), bottom.to(tl.float32), left.to(tl.float32), right.to(tl.float32)
        if ZERO_PAD and (top | bottom | left | right):
            best = _largest(table, s, y, mass_s, mass_y, low, high, borders, eps, per_bit, True, NORMALISE)
        else:
            best = _largest(table, s, y, mass_s, mass_y, low, high, borders, eps, per_bit, False, NORMALISE)
        best = _finished(best, per_bit, NORMALISE)
    tl.store(out + (image * height + i) * width + j, best)
