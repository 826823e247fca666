"""MAE, PSNR and MS-SSIM inside the body, as the SynthRAD2025 challenge computes them (image_metrics.py of its evaluation).

Images are shares of the range that is scored in: float64 ``[N, H, W]`` in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from xmodbench.metrics.paired import psnr

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
WINDOW = 7
LEAST_3D = (WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""97 voxels each way: volumes with fewer are padded with their outermost."""
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Masked:
    """A score of each slice, and of the volume that they make up together: a mean over voxels, not over slices."""

    slices: np.ndarray
    volume: float


def mean_absolute(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> Masked:
    """Mean absolute difference inside `mask` [N, H, W], of which each slice has some."""
    return _mean(np.abs(a - b), mask)


def peak_ratio(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> Masked:
    """PSNR inside `mask` in dB, of images with the peak 1."""
    squared = _mean(np.square(a - b), mask)
    return Masked(psnr(squared.slices, 1.0), float(psnr(np.array([squared.volume]), 1.0)[0]))


def scales_of(side: int) -> int:
    """How many of the five scales fit into images of so many pixels: the window of 7 must fit into the smallest."""
    return next((n for n in range(len(WEIGHTS), 1, -1) if -(-side // 2 ** (n - 1)) >= WINDOW), 1)


def ms_ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> Masked:
    """Masked MS-SSIM with windows and halving in the plane of the slices alone.

    Of images too small for five scales, fewer are taken, with their weights made to sum to 1 again.
    """
    n = scales_of(min(a.shape[1:]))
    weights = np.array(WEIGHTS[:n]) / sum(WEIGHTS[:n])
    return _multiscale(a, b, mask, weights, (1, 2))


def ms_ssim_3d(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Masked MS-SSIM of a volume with cubic windows, as the challenge has it, padding included."""
    short = [max(0, LEAST_3D - side) for side in a.shape]
    pad = [(less // 2, less - less // 2) for less in short]
    a, b = (np.pad(np.where(mask, array, 0.0), pad, mode="edge") for array in (a, b))
    return _multiscale(a, b, np.pad(mask, pad, mode="edge"), np.array(WEIGHTS), (0, 1, 2)).volume


def _multiscale(a: np.ndarray, b: np.ndarray, mask: np.ndarray, weights: np.ndarray, axes: tuple[int, ...]) -> Masked:
    a, b = (np.where(mask, array, 0.0) for array in (a, b))
    found, whole = np.ones(len(a)), 1.0
    for weight in weights:
        scale = _mean(_inner(_similarity(a, b, axes) ** weight, axes), _inner(mask, axes), slicewise=0 not in axes)
        whole *= min(1.0, scale.volume)
        found *= np.minimum(1.0, scale.slices) if 0 not in axes else 1.0
        a, b, mask = (
            _half(a, axes),
            _half(b, axes),
            mask[tuple(slice(None, None, 2 if i in axes else 1) for i in range(3))],
        )
    return Masked(found, float(whole))


def _similarity(a: np.ndarray, b: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Luminance x contrast x structure, each not below 0: the challenge gives all three a scale's weight."""
    size = [WINDOW if axis in axes else 1 for axis in range(3)]
    count = WINDOW ** len(axes)
    mean_a, mean_b = (uniform_filter(array, size) for array in (a, b))
    unbiased = count / (count - 1)
    var_a, var_b, both = (
        unbiased * (uniform_filter(x * y, size) - mean_x * mean_y)
        for x, y, mean_x, mean_y in ((a, a, mean_a, mean_a), (b, b, mean_b, mean_b), (a, b, mean_a, mean_b))
    )
    deviations = np.sqrt(np.maximum(var_a, 0) * np.maximum(var_b, 0))
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_a * mean_b + c1) / (np.square(mean_a) + np.square(mean_b) + c1)
    contrast = (2 * deviations + c2) / (var_a + var_b + c2)
    structure = (both + c2 / 2) / (deviations + c2 / 2)
    return np.maximum(luminance, 0) * np.maximum(contrast, 0) * np.maximum(structure, 0)


def _half(image: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Every second mean of two neighbours along each axis; before the first there is nothing, which is 0."""
    for axis in axes:
        lines = np.moveaxis(image, axis, 0)
        first, second = lines[::2].copy(), lines[1::2]
        first[1:] += second[: len(first) - 1]
        image = np.moveaxis(first / 2, 0, axis)
    return image


def _inner(image: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Without the border that half a window reaches beyond."""
    edge = WINDOW // 2
    return image[tuple(slice(edge, -edge) if axis in axes else slice(None) for axis in range(3))]


def _mean(field: np.ndarray, mask: np.ndarray, slicewise: bool = True) -> Masked:
    """Means over `mask`; over all where it is empty, as a coarse one may be."""
    inside = mask if mask.any() else np.ones_like(mask)
    volume = float(field[inside].mean())
    if not slicewise:
        return Masked(np.empty(0), volume)
    weight = np.where(mask.any((1, 2), keepdims=True), mask, True)
    return Masked((field * weight).sum((1, 2)) / weight.sum((1, 2)), volume)
