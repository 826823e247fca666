"""The low-pass of ILVR and EGSDE: images shrunk and enlarged again, mirrored beyond the borders as in the authors' code."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch

Kernel = Literal["cubic", "linear"]
"""``cubic``: ILVR's; ``linear``: EGSDE's."""
SUPPORT = {"cubic": 2, "linear": 1}


def coarse(images: torch.Tensor, factor: int, kernel: Kernel = "cubic") -> torch.Tensor:
    """What is left of ``images`` [B, 1, H, W] after shrinking them `factor` times and enlarging them again."""
    rows, columns = (torch.from_numpy(_lowpass(side, factor, kernel)).to(images) for side in images.shape[2:])
    return rows @ images @ columns.T


def coarse_transposed(images: torch.Tensor, factor: int, kernel: Kernel = "cubic") -> torch.Tensor:
    """The transpose of `coarse`, which gradients of what is coarse pass through."""
    rows, columns = (torch.from_numpy(_lowpass(side, factor, kernel)).to(images) for side in images.shape[2:])
    return rows.T @ images @ columns


@lru_cache(maxsize=16)
def _lowpass(side: int, factor: int, kernel: Kernel) -> np.ndarray:
    """Shrinking and enlarging along one axis as a matrix, float64 ``[side, side]``."""
    smaller = max(1, side // factor)
    return _resampling(smaller, side, kernel) @ _resampling(side, smaller, kernel)


def _resampling(given: int, wanted: int, kernel: Kernel = "cubic") -> np.ndarray:
    """Weights of `given` pixels in `wanted` ones, float64 ``[wanted, given]``; shrinking is antialiased.

    Beyond the borders lies the mirror image, the border pixel repeated. Libraries leave those pixels out and divide by the
    weights that remain, which differs by several percent of the range at the border.
    """
    stretch = max(1.0, given / wanted)
    centre = (np.arange(wanted)[:, None] + 0.5) * given / wanted - 0.5
    reach = int(np.ceil(SUPPORT[kernel] * stretch)) + 1
    place = np.floor(centre).astype(int) + np.arange(-reach, reach + 1)
    weights = (_cubic if kernel == "cubic" else _linear)((centre - place) / stretch)
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


def _linear(x: np.ndarray) -> np.ndarray:
    """The tent of linear interpolation."""
    return np.maximum(1 - np.abs(x), 0)
