"""LMI on a CPU: one compiled pass per pair of windows, kernel values from a table, constant extra memory.

Differs from the definition by less than 5e-6: negligible kernel values are left out (`lmi_windows.trimmed_table`), and the
logarithm is a polynomial.

Everything is inlined into `_rows`. A function that stayed one of its own would, in the process that compiles it, be taken
from another module than in processes that load it from numba's cache, and with ``fastmath`` differ in the last digit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np
from numpy.polynomial import chebyshev

from .lmi_windows import LmiOptions, reference_positions, sliding_positions, trimmed_table

LANES = 16
FLAT_MASS = 1e-2  # kernel mass above which a constant window's information is 0 to 1e-7 whatever eps does


class Kernels(NamedTuple):
    """The kernel table with negligible bins set to 0, and of each grey level the range of bins left and their sum."""

    values: np.ndarray  # float32 [levels, bins and some zeros]
    first: np.ndarray  # int32 [levels]
    last: np.ndarray  # int32 [levels], one after
    mass: np.ndarray  # float32 [levels]


class Windows(NamedTuple):
    """Where the windows' pixels lie, in rows and columns of the images: int arrays ``[.., H or W, window]``."""

    ref_rows: np.ndarray
    ref_cols: np.ndarray
    rows: np.ndarray  # of every window of the search, which is its first axis
    cols: np.ndarray


def _log2_coefficients(degree: int = 8) -> tuple[np.float32, ...]:
    """Polynomial of ``log2(1 + f) / f`` for mantissas of ``[sqrt(1/2), sqrt(2))``, lowest power first; error < 2e-8."""
    low, high = np.sqrt(0.5) - 1, np.sqrt(2.0) - 1
    series = chebyshev.Chebyshev.interpolate(lambda f: np.log1p(f) / f / np.log(2), degree, domain=[low, high])
    return tuple(np.float32(c) for c in series.convert(kind=np.polynomial.Polynomial).coef)


_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = _log2_coefficients()
_SQRT_HALF = np.int32(0x3F3504F3)


@numba.njit(fastmath=True, forceinline=True)
def _log2(x):
    """log2 of a positive normal float32."""
    bits = np.int32(np.float32(x).view(np.int32) - _SQRT_HALF)
    exponent = np.int32(bits >> 23)
    f = np.int32((bits & 0x007FFFFF) + _SQRT_HALF).view(np.float32) - np.float32(1)
    s = ((((_C8 * f + _C7) * f + _C6) * f + _C5) * f + _C4) * f + _C3
    s = ((s * f + _C2) * f + _C1) * f + _C0
    return np.float32(np.float32(exponent) + f * s)


@numba.njit(fastmath=True, forceinline=True)
def _gather(image, rows, cols, table, levels):
    """Fill a window's `levels`; returns the first bin it touches, the one after the last, and whether it is constant."""
    low, high, flat, p = np.int32(2**30), np.int32(0), True, rows.size
    for r in range(p):
        for c in range(p):
            v = image[rows[r], cols[c]]
            levels[r * p + c] = v
            flat = flat and v == levels[0]
            low, high = min(low, table.first[v]), max(high, table.last[v])
    return low, high, flat


@numba.njit(fastmath=True, forceinline=True)
def _nine(weights, k, r, kernels, c):
    """Nine terms of the histogram, from kernel `k` on, in row `r` and column `c`."""
    p = weights[k, r] * kernels[k, c] + weights[k + 1, r] * kernels[k + 1, c] + weights[k + 2, r] * kernels[k + 2, c]
    p += weights[k + 3, r] * kernels[k + 3, c] + weights[k + 4, r] * kernels[k + 4, c]
    p += weights[k + 5, r] * kernels[k + 5, c] + weights[k + 6, r] * kernels[k + 6, c]
    return p + weights[k + 7, r] * kernels[k + 7, c] + weights[k + 8, r] * kernels[k + 8, c]


@numba.njit(fastmath=True, forceinline=True)
def _entropy(weights, row0, row1, kernels, scale, eps):
    """Entropy in bits of the histogram ``scale * sum_k weights[k, r] * kernels[k]`` over the rows ``row0 <= r < row1``.

    Loops over bins have the fixed length `LANES`, start at 0 and store nothing: they become vector instructions. The
    number of kernels is a multiple of nine, the last ones may be 0.
    """
    h, terms = np.float32(0), kernels.shape[0]
    for r in range(row0, row1):
        if terms == 9:  # windows of 3
            for c in range(LANES):
                p = scale * _nine(weights, 0, r, kernels, c)
                h -= p * _log2(p + eps)
        elif terms == 27:  # of 5
            for c in range(LANES):
                p = (
                    _nine(weights, 0, r, kernels, c)
                    + _nine(weights, 9, r, kernels, c)
                    + _nine(weights, 18, r, kernels, c)
                )
                p *= scale
                h -= p * _log2(p + eps)
        else:
            for c in range(LANES):
                p = np.float32(0)
                for k in range(0, terms, 9):
                    p += _nine(weights, k, r, kernels, c)
                p *= scale
                h -= p * _log2(p + eps)
    return h


@numba.njit(fastmath=True, forceinline=True)
def _row(i, ref, slide, table, windows, normalise, eps, out):
    """Row `i` of the map of one image."""
    lanes, n = table.values.shape[1], windows.ref_rows.shape[1] ** 2
    levels_s, levels_y = np.empty(n, np.int32), np.empty(n, np.int32)
    terms = (n + 8) // 9 * 9
    ks, kernels = np.zeros((terms, lanes), np.float32), np.zeros((terms, LANES), np.float32)
    ones = np.ones((terms, 1), np.float32)
    for j in range(out.size):
        row0, row1, flat_s = _gather(ref, windows.ref_rows[i], windows.ref_cols[j], table, levels_s)
        for k in range(n):
            ks[k, :] = table.values[levels_s[k], :]
        h1, _ = _entropies(levels_s, row0, row1, ks, 0, 0, np.float32(0), ones, table, kernels, eps)
        best = np.float32(-1e30)
        for a in range(windows.rows.shape[0]):
            for b in range(windows.cols.shape[0]):
                col0, col1, flat_y = _gather(slide, windows.rows[a, i], windows.cols[b, j], table, levels_y)
                z = np.float32(0)
                for k in range(n):
                    z += table.mass[levels_s[k]] * table.mass[levels_y[k]]
                score = np.float32(0)  # of a constant window, unless it is saturated
                if not (flat_s or flat_y) or z < FLAT_MASS:
                    scale = np.float32(1) / (z + eps)
                    h2, h12 = _entropies(levels_y, col0, col1, ks, row0, row1, scale, ones, table, kernels, eps)
                    score = _information(h1, h2, h12, normalise, eps)
                best = max(best, score)
        out[j] = best


@numba.njit(fastmath=True, forceinline=True)
def _entropies(levels, low, high, ks, row0, row1, scale, ones, table, kernels, eps):
    """Entropies of the window with these `levels`, which touches the bins ``low <= b < high``, and of it with `ks`."""
    n = levels.size
    total = np.float32(0)
    for k in range(n):
        total += table.mass[levels[k]]
    own = np.float32(1) / (
        total + np.float32(n) * eps
    )  # the released code divides the kernels' mean by its sum plus eps
    h2, h12 = np.float32(0), np.float32(0)
    for start in range(low, high, LANES):
        for k in range(n):
            v = levels[k]
            for c in range(LANES):
                kernels[k, c] = table.values[v, start + c]
        h2 += _entropy(ones, 0, 1, kernels, own, eps)
        h12 += _entropy(ks, row0, row1, kernels, scale, eps)
    return h2, h12


@numba.njit(fastmath=True, forceinline=True)
def _information(h1, h2, h12, normalise, eps):
    """Mutual information from entropies, or symmetric uncertainty."""
    if normalise:
        return np.float32(2) * (h1 + h2 - h12 + eps) / (h1 + h2 + eps)
    return h1 + h2 - h12


@numba.njit(nogil=True, fastmath=True, cache=True)
def _rows(start, stop, ref, slide, table, windows, normalise, eps, out):
    """Rows `start` to `stop` of a stack of maps, counted over all images."""
    height = out.shape[1]
    for job in range(start, stop):
        b, i = job // height, job % height
        _row(i, ref[b], slide[b], table, windows, normalise, eps, out[b, i])


@lru_cache(maxsize=16)
def _kernels(options: LmiOptions) -> Kernels:
    kept, first, last = trimmed_table(options)
    lanes = (-(-options.bins // LANES) + 1) * LANES  # a block may start at any bin
    table = np.zeros((len(kept), lanes), np.float32)
    table[:, : options.bins] = kept
    return Kernels(table, first, last, table.sum(axis=1))


def compiled_map(reference: np.ndarray, sliding: np.ndarray, options: LmiOptions, threads: int) -> np.ndarray:
    """LMI map of two stacks of grey levels.

    Args:
        reference, sliding: rows of the kernel table, int32 ``[B, H + 1, W + 1]``; the last row and column hold
            grey level 0.
        options: see `LmiOptions`; they must be `fusable`.
        threads: CPU threads to use.

    Returns:
        float32 ``[B, H, W]``, logarithms of base 2.
    """
    batch, height, width = reference.shape[0], reference.shape[1] - 1, reference.shape[2] - 1
    out = np.empty((batch, height, width), np.float32)
    windows = Windows(
        *(reference_positions(length, options.window, options.pad) for length in (height, width)),
        *(sliding_positions(length, options) for length in (height, width)),
    )
    shared = (reference, sliding, _kernels(options), windows, options.normalise, np.float32(options.eps), out)
    jobs = batch * height
    if threads == 1:
        _rows(0, jobs, *shared)
        return out
    # not numba's own threads: its pool would change the number of torch's
    edges = np.linspace(0, jobs, min(jobs, 8 * threads) + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _rows(part[0], part[1], *shared), pairwise(edges.tolist())))
    return out


def compile_kernels() -> None:
    """Have numba compile what `compiled_map` calls, and keep it: its types are the same for all options and sizes."""
    blank = np.zeros((1, 5, 5), np.int32)
    compiled_map(blank, blank, LmiOptions(), 1)
