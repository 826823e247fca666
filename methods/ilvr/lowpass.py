"""ILVR's low-pass: bicubic shrinking and enlarging, the image mirrored beyond its borders as in the authors' code."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch


def coarse(images: torch.Tensor, factor: int) -> torch.Tensor:
    """What is left of ``images`` [B, 1, H, W] after shrinking them `factor` times and enlarging them again (bicubic)."""
    rows, columns = (torch.from_numpy(_lowpass(side, factor)).to(images) for side in images.shape[2:])
    return rows @ images @ columns.T


@lru_cache(maxsize=16)
def _lowpass(side: int, factor: int) -> np.ndarray:
    """Shrinking and enlarging along one axis as a matrix, float64 ``[side, side]``."""
    smaller = max(1, side // factor)
    return _resampling(smaller, side) @ _resampling(side, smaller)


def _resampling(given: int, wanted: int) -> np.ndarray:
    """Weights of `given` pixels in `wanted` ones, float64 ``[wanted, given]``; shrinking is antialiased.

    Beyond the borders lies the mirror image, the border pixel repeated. Libraries leave those pixels out and divide by the
    weights that remain, which differs by several percent of the range at the border.
    """
    stretch = max(1.0, given / wanted)
    centre = (np.arange(wanted)[:, None] + 0.5) * given / wanted - 0.5
    reach = int(np.ceil(2 * stretch)) + 1
    place = np.floor(centre).astype(int) + np.arange(-reach, reach + 1)
    weights = _cubic((centre - place) / stretch)
    place %= 2 * given
    place = np.minimum(place, 2 * given - 1 - place)
    matrix = np.zeros((wanted, given))
    np.add.at(matrix, (np.arange(wanted)[:, None], place), weights / weights.sum(1, keepdims=True))
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with parameter -1/2."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
