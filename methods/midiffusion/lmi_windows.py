"""What all LMI paths share: the options, the grey levels, and which pixels meet in which window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from xmodbench.errors import UserError

Search = Literal["mosaic", "shift"]
OutOfRange = Literal["raw", "clip", "scale"]
Quantise = Literal["trunc", "round", "none"]
Pad = Literal["zero", "reflect", "replicate"]
Marginals = Literal["kernel-mean", "from-joint"]
Reduce = Literal["max", "mean", "softmax"]


@dataclass(frozen=True)
class LmiOptions:
    """Options of `lmi_map`; the defaults are the released MIDiffusion code's.

    Attributes:
        window: side of the windows in pixels, odd. The paper gives none, the code uses 3.
        bins: bin centres, evenly spaced over 0..255 (code: window cubed).
        bandwidth: standard deviation of the Gaussian kernel in grey levels (code: 2 * sigma**2 with sigma 2).
        search: ``mosaic`` re-samples the 3x3 neighbourhood as the code does, ``shift`` moves the sliding window
            by up to `radius` pixels as the paper's Fig. 3 describes.
        radius: reach of the ``shift`` search in pixels (the ``mosaic`` search always has ``window // 2``).
        out_of_range: values outside [0, 1] of the sliding image are used as they are (``raw``), clipped, or the
            image is stretched to [0, 1] by its own extremes (``scale``).
        quantise: grey levels are truncated toward zero (code), rounded, or kept as they are.
        pad: what lies outside the image: grey level 0 (code), its mirror image, or its border.
        marginals: mean of the kernels (code; not the marginals of the joint distribution), or the joint's own.
        reduce: over the search, the maximum (code and paper), the mean, or a softmax-weighted mean.
        temperature: of the softmax, in units of the map.
        normalise: symmetric uncertainty ``2 I / (H1 + H2)`` instead of ``I`` in bits.
        eps: guards divisions and logarithms. It decides the saturated values far outside [0, 1].
        log_base: base of the logarithm (code 2; the paper's formula implies e).
        smooth: standard deviation in pixels of a Gaussian that smooths both images beforehand (code and paper: none).
    """

    window: int = 3
    bins: int = 27
    bandwidth: float = 8.0
    search: Search = "mosaic"
    radius: int = 1
    out_of_range: OutOfRange = "raw"
    quantise: Quantise = "trunc"
    pad: Pad = "zero"
    marginals: Marginals = "kernel-mean"
    reduce: Reduce = "max"
    temperature: float = 0.05
    normalise: bool = True
    eps: float = 1e-10
    log_base: float = 2.0
    smooth: float = 0.0

    def __post_init__(self):
        checks = {
            "window must be odd and at least 3": self.window >= 3 and self.window % 2 == 1,
            "bins must be at least 2": self.bins >= 2,
            "bandwidth must be positive": self.bandwidth > 0,
            "radius must be at least 1": self.radius >= 1,
            "temperature must be positive": self.temperature > 0,
            "eps must be positive": self.eps > 0,
            "log_base must be above 1": self.log_base > 1,
            "smooth must not be negative": self.smooth >= 0,
        }
        for problem, fine in checks.items():
            if not fine:
                raise UserError(problem, "lmi options", "see methods/midiffusion/README.md")

    def but(self, **changes) -> LmiOptions:
        """A copy with some options changed."""
        return replace(self, **changes)

    @property
    def fusable(self) -> bool:
        """Whether the compiled paths cover these options: they know whole grey levels and the maximum only."""
        return self.quantise != "none" and self.marginals == "kernel-mean" and self.reduce == "max"

    @property
    def centres(self) -> np.ndarray:
        """Bin centres in grey levels, float64 ``[bins]``."""
        return 255.0 * np.arange(self.bins) / (self.bins - 1)

    @property
    def margin(self) -> int:
        """Grey levels outside 0..255 at which every kernel value has become exactly 0 in float32."""
        return int(np.ceil(14.5 * self.bandwidth))


def resolve(index: np.ndarray, length: int, pad: Pad) -> np.ndarray:
    """Positions along an axis, those outside of ``0..length-1`` padded; `length` itself stands for grey level 0."""
    if pad == "replicate":
        return np.clip(index, 0, length - 1)
    if pad == "reflect":
        period = max(2 * (length - 1), 1)
        folded = np.abs(index) % period
        return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(index)
    return np.where((index < 0) | (index >= length), length, index)


@lru_cache(maxsize=64)
def reference_positions(length: int, window: int, pad: Pad) -> np.ndarray:
    """Positions along one axis of the window around each pixel, int32 ``[length, window]``."""
    offsets = np.arange(window) - window // 2
    return resolve(np.arange(length)[:, None] + offsets, length, pad).astype(np.int32)


@lru_cache(maxsize=64)
def sliding_positions(length: int, options: LmiOptions) -> np.ndarray:
    """Positions along one axis of the sliding windows that are compared with each pixel's reference window.

    For the ``mosaic`` search, windows are cut from the mosaic in which every pixel is replaced by the patch around
    it: mosaic position r holds pixel ``r // p + r % p - p // 2``, and windows start at every position of the patch.
    The search therefore never leaves the patch, and off-centre windows hold pixels several times.

    Returns:
        int32 ``[offsets, length, window]``.
    """
    p, half = options.window, options.window // 2
    within = np.arange(p) - half
    pixels = np.arange(length)[None, :, None]
    if options.search == "shift":
        shifts = np.arange(-options.radius, options.radius + 1)[:, None, None]
        return resolve(pixels + shifts + within, length, options.pad).astype(np.int32)
    place = resolve(p * pixels + np.arange(p)[:, None, None] + within, p * length, options.pad)
    inside = place < p * length
    pixel = resolve(np.where(inside, place // p + place % p - half, 0), length, options.pad)
    return np.where(inside, pixel, length).astype(np.int32)


NEGLIGIBLE = 2e-9
TINY = 1e-26  # far below eps * eps: cannot show in a result, but denormal numbers are slow


@lru_cache(maxsize=16)
def trimmed_table(options: LmiOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`kernel_table` without what cannot show in a map, and the bins that are left.

    Bins are left out where the kernel is below `NEGLIGIBLE` of its largest value for that grey level (so the saturated
    values far outside [0, 1] stay right).

    Returns:
        float32 ``[levels, bins]``; for each level the first bin and the one after the last, int32 ``[levels]``: for a level
        with none the first is beyond any bin, and the last is 0.
    """
    exact = kernel_table(options)
    keep = (exact >= NEGLIGIBLE * exact.max(axis=1, keepdims=True)) & (exact > TINY)
    some = keep.any(axis=1)
    first = np.where(some, keep.argmax(axis=1), 2**30).astype(np.int32)
    last = np.where(some, options.bins - keep[:, ::-1].argmax(axis=1), 0).astype(np.int32)
    return np.where(keep, exact, np.float32(0)), first, last


@lru_cache(maxsize=16)
def kernel_table(options: LmiOptions) -> np.ndarray:
    """Kernel values of every grey level that matters, float32 ``[256 + 2 * margin, bins]``; row 0 is ``-margin``."""
    levels = np.arange(-options.margin, 256 + options.margin, dtype=np.float64)[:, None]
    exponent = -0.5 * ((levels - options.centres) / options.bandwidth) ** 2
    return np.exp(exponent).astype(np.float32)
