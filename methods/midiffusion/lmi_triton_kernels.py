"""The Triton kernels of `lmi_triton`; grey levels come as rows of the kernel table, logarithms are of base 2."""

from __future__ import annotations

import triton
import triton.language as tl

FLAT_MASS = tl.constexpr(1e-2)  # kernel mass above which a constant window's information is 0 to 1e-7 whatever eps does
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # there is no assembly in the interpreter


@triton.jit
def _place(height, width):
    """Image, row and column of this program's pixel."""
    pixel = tl.program_id(0).to(tl.int64)
    return pixel // (height * width), (pixel // width) % height, pixel % width


# A tile of 32 x 32 cells has the shape [4, 2, 4, 8, 4]: every thread holds the 4 x 8 cells of the first three axes, the
# last two are the 32 threads. Four bins of a thread come next to each other, to be loaded at once, and operands are as
# wide as the threads: that way Triton gives every operand the cells' layout, and no value moves between threads.


@triton.jit
def _axis(SIZE: tl.constexpr, AXIS: tl.constexpr):
    """``0 .. SIZE - 1`` along one of the five axes."""
    found = tl.arange(0, SIZE)
    if AXIS == 0:
        found = found[:, None, None, None, None]
    elif AXIS == 1:
        found = found[None, :, None, None, None]
    elif AXIS == 2:
        found = found[None, None, :, None, None]
    elif AXIS == 3:
        found = found[None, None, None, :, None]
    else:
        found = found[None, None, None, None, :]
    return found


@triton.jit
def _bins_of_s():
    """Bins along the reference axis of a tile, [4, 1, 1, 8, 4]; every bin stands there 4 times."""
    return _axis(4, 0) + 4 * _axis(8, 3) + 0 * _axis(4, 4)


@triton.jit
def _bins_of_y():
    """Bins along the sliding axis of a tile, [1, 2, 4, 8, 4]; every bin stands there 8 times."""
    return 16 * _axis(2, 1) + _axis(4, 2) + 0 * _axis(8, 3) + 4 * _axis(4, 4)


@triton.jit
def _kernels(table, level, bins, LANES_IN_ROW: tl.constexpr):
    return tl.load(table + level * LANES_IN_ROW + bins)


@triton.jit
def _log2(x):
    """log2 to 2**-22, absolute near 1 and relative elsewhere; one instruction, libdevice's takes twenty."""
    if INTERPRETED:
        found = tl.log2(x)
    else:
        found = tl.inline_asm_elementwise(
            "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return found


@triton.jit
def _entropy(counts, inverse, eps):
    """Entropy in bits of ``counts * inverse``."""
    return -inverse * tl.sum(counts * _log2(counts * inverse + eps))


@triton.jit
def _information(h1, h2, h12, eps, per_bit, NORMALISE: tl.constexpr):
    """Mutual information from entropies in bits, or symmetric uncertainty."""
    h1, h2, h12 = h1 * per_bit, h2 * per_bit, h12 * per_bit
    found = h1 + h2 - h12
    if NORMALISE:
        found = 2 * (found + eps) / (h1 + h2 + eps)
    return found


@triton.jit
def _line(found, s, y, start, end, OFFSET: tl.constexpr):
    """`found` and what one line of a window adds: three reference pixels `s` meet `y`, pixels before, at and after.

    Offset 0 pairs them with (at, before, at), offset 2 with (at, after, at), see `lmi_windows.sliding_positions`.
    `start`, `end` are 1 where the window reaches over the zero-padded mosaic's border: the pixel *at* is outside
    there, and equals the one before or after, which is outside too.
    """
    if OFFSET == 0:
        found = (s[1] + start * s[0]) * y[0] + found
        found = (s[2] + (1 - start) * s[0]) * y[1] + found
    elif OFFSET == 1:
        found = s[0] * y[0] + found
        found = s[1] * y[1] + found
        found = s[2] * y[2] + found
    else:
        found = (s[0] + (1 - end) * s[2]) * y[1] + found
        found = (s[1] + end * s[2]) * y[2] + found
    return found


@triton.jit
def _sum(p, scale, q):
    """``p + scale * q`` of three values each."""
    return p[0] + scale * q[0], p[1] + scale * q[1], p[2] + scale * q[2]


@triton.jit
def _window(s, y, borders, A: tl.constexpr, B: tl.constexpr):
    """Sum over the nine pairs of pixels of the window at offset (A, B); `s`, `y` are three rows of three."""
    top, bottom, left, right = borders
    if A == 0:
        found = _line(0.0, _sum(s[1], top, s[0]), y[0], left, right, B)
        found = _line(found, _sum(s[2], 1 - top, s[0]), y[1], left, right, B)
    elif A == 1:
        found = _line(0.0, s[0], y[0], left, right, B)
        found = _line(found, s[1], y[1], left, right, B)
        found = _line(found, s[2], y[2], left, right, B)
    else:
        found = _line(0.0, _sum(s[0], 1 - bottom, s[2]), y[1], left, right, B)
        found = _line(found, _sum(s[1], bottom, s[2]), y[2], left, right, B)
    return found


@triton.jit
def _levels(image, rows, cols, i, j, stride):
    """Table rows of the 3x3 window around a pixel, three rows of three."""
    c0, c1, c2 = tl.load(cols + 3 * j), tl.load(cols + 3 * j + 1), tl.load(cols + 3 * j + 2)
    r0 = image + tl.load(rows + 3 * i) * stride
    r1 = image + tl.load(rows + 3 * i + 1) * stride
    r2 = image + tl.load(rows + 3 * i + 2) * stride
    return (
        (tl.load(r0 + c0), tl.load(r0 + c1), tl.load(r0 + c2)),
        (tl.load(r1 + c0), tl.load(r1 + c1), tl.load(r1 + c2)),
        (tl.load(r2 + c0), tl.load(r2 + c1), tl.load(r2 + c2)),
    )


@triton.jit
def _three(table, levels, bins, LANES_IN_ROW: tl.constexpr):
    """Kernel values (or anything a table has) of three levels."""
    return (
        _kernels(table, levels[0], bins, LANES_IN_ROW),
        _kernels(table, levels[1], bins, LANES_IN_ROW),
        _kernels(table, levels[2], bins, LANES_IN_ROW),
    )


@triton.jit
def _nine(table, levels, bins, LANES_IN_ROW: tl.constexpr):
    return (
        _three(table, levels[0], bins, LANES_IN_ROW),
        _three(table, levels[1], bins, LANES_IN_ROW),
        _three(table, levels[2], bins, LANES_IN_ROW),
    )


@triton.jit
def _score(
    s, y, line_y, mass_s, mass_y, h1, borders, eps, per_bit,
    A: tl.constexpr, B: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """Information between the reference window and the sliding one at offset (A, B)."""
    ones = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    own = 1 / (_window(ones, mass_y, borders, A, B) + 9 * eps)
    h2 = _entropy(_window(ones, line_y, borders, A, B), own, eps)
    h12 = _entropy(_window(s, y, borders, A, B), 1 / (_window(mass_s, mass_y, borders, A, B) + eps), eps)
    return _information(h1, h2, h12, eps, per_bit, NORMALISE)


@triton.jit
def _flat(v):
    """Whether nine levels are all the same."""
    same = (v[0][0] == v[0][1]) & (v[0][0] == v[0][2]) & (v[0][0] == v[1][0]) & (v[0][0] == v[1][1])
    return same & (v[0][0] == v[1][2]) & (v[0][0] == v[2][0]) & (v[0][0] == v[2][1]) & (v[0][0] == v[2][2])


@triton.jit
def _least(v):
    rows = tl.minimum(tl.minimum(v[0][0], v[0][1]), v[0][2]), tl.minimum(tl.minimum(v[1][0], v[1][1]), v[1][2])
    return tl.minimum(tl.minimum(rows[0], rows[1]), tl.minimum(tl.minimum(v[2][0], v[2][1]), v[2][2]))


@triton.jit
def mosaic_of_three(
    ref, slide, table, mass, ref_rows, ref_cols, out,
    height, width, eps, per_bit,
    ZERO_PAD: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """The released code's search with windows of 3x3 and at most 32 bins; see the module."""
    image, i, j = _place(height, width)
    plane, stride = image * (height + 1) * (width + 1), width + 1
    levels_s = _levels(ref + plane, ref_rows, ref_cols, i, j, stride)
    levels_y = _levels(slide + plane, ref_rows, ref_cols, i, j, stride)
    mass_s, mass_y = _nine(mass, levels_s, 0, 1), _nine(mass, levels_y, 0, 1)
    best = eps * 0
    if not (_flat(levels_s) & (9 * mass_s[0][0] * _least(mass_y) >= FLAT_MASS)):
        borders = (
            ((i == 0) & ZERO_PAD).to(tl.float32),
            ((i == height - 1) & ZERO_PAD).to(tl.float32),
            ((j == 0) & ZERO_PAD).to(tl.float32),
            ((j == width - 1) & ZERO_PAD).to(tl.float32),
        )
        s, y = _nine(table, levels_s, _bins_of_s(), 32), _nine(table, levels_y, _bins_of_y(), 32)
        line = tl.arange(0, 32)  # for the marginals: one bin for every thread
        line_s, line_y = _nine(table, levels_s, line, 32), _nine(table, levels_y, line, 32)
        ones = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
        own = 1 / (_window(ones, mass_s, borders, 1, 1) + 9 * eps)
        h1 = _entropy(_window(ones, line_s, borders, 1, 1), own, eps)
        best = eps * 0 - 1e30
        for o in tl.static_range(9):
            score = _score(s, y, line_y, mass_s, mass_y, h1, borders, eps, per_bit, o // 3, o % 3, NORMALISE)
            best = tl.maximum(best, score)
    tl.store(out + (image * height + i) * width + j, best)


@triton.jit
def _marginal(image, rows, cols, table, mass, stride, eps, bins, SIDE: tl.constexpr, TILES: tl.constexpr):
    """Entropy of the window at `rows` and `cols` (pointers), in bits."""
    total = eps * 0
    for r in range(SIDE):
        for c in tl.static_range(SIDE):
            total += tl.load(mass + tl.load(image + tl.load(rows + r) * stride + tl.load(cols + c)))
    own, h = 1 / (total + SIDE * SIDE * eps), eps * 0
    for tile in range(TILES):
        counts = tl.zeros((32,), tl.float32)
        for r in range(SIDE):
            for c in tl.static_range(SIDE):
                level = tl.load(image + tl.load(rows + r) * stride + tl.load(cols + c))
                counts += _kernels(table, level, tile * 32 + bins, 32 * TILES)
        h += _entropy(counts, own, eps)
    return h


@triton.jit
def _joint(
    ref, slide, ref_rows, ref_cols, rows, cols, table, mass, stride, eps, SIDE: tl.constexpr, TILES: tl.constexpr
):
    """Joint entropy of two windows, in bits, tile by tile of 32 x 32 cells."""
    z, h, bins_s, bins_y = eps * 0, eps * 0, _bins_of_s(), _bins_of_y()
    for r in range(SIDE):
        for c in tl.static_range(SIDE):
            mass_s = tl.load(mass + tl.load(ref + tl.load(ref_rows + r) * stride + tl.load(ref_cols + c)))
            z += mass_s * tl.load(mass + tl.load(slide + tl.load(rows + r) * stride + tl.load(cols + c)))
    for tile in range(TILES * TILES):
        cells = tl.zeros((4, 2, 4, 8, 4), tl.float32)
        for r in range(SIDE):
            for c in tl.static_range(SIDE):
                level_s = tl.load(ref + tl.load(ref_rows + r) * stride + tl.load(ref_cols + c))
                level_y = tl.load(slide + tl.load(rows + r) * stride + tl.load(cols + c))
                s = _kernels(table, level_s, tile // TILES * 32 + bins_s, 32 * TILES)
                cells += s * _kernels(table, level_y, tile % TILES * 32 + bins_y, 32 * TILES)
        h += _entropy(cells, 1 / (z + eps), eps)
    return h


@triton.jit
def any_search(
    ref, slide, table, mass, ref_rows, ref_cols, rows, cols, out,
    height, width, eps, per_bit, offsets,
    SIDE: tl.constexpr, TILES: tl.constexpr, NORMALISE: tl.constexpr,
):  # fmt: skip
    """Any positions of the sliding windows, any window, any number of bins; see the module."""
    image, i, j = _place(height, width)
    plane, stride = image * (height + 1) * (width + 1), width + 1
    bins = tl.arange(0, 32)
    ref, slide, ref_rows, ref_cols = ref + plane, slide + plane, ref_rows + SIDE * i, ref_cols + SIDE * j
    h1 = _marginal(ref, ref_rows, ref_cols, table, mass, stride, eps, bins, SIDE, TILES)
    best = eps * 0 - 1e30
    for o in range(offsets * offsets):
        one_row = rows + (o // offsets * height + i) * SIDE
        one_col = cols + (o % offsets * width + j) * SIDE
        h2 = _marginal(slide, one_row, one_col, table, mass, stride, eps, bins, SIDE, TILES)
        h12 = _joint(ref, slide, ref_rows, ref_cols, one_row, one_col, table, mass, stride, eps, SIDE, TILES)
        best = tl.maximum(best, _information(h1, h2, h12, eps, per_bit, NORMALISE))
    tl.store(out + (image * height + i) * width + j, best)
