"""The small slices that plugins are checked on."""

from __future__ import annotations

import numpy as np

SIZE, N_TRAIN, N_TEST = 32, 8, 5


def phantom(n: int, seed: int, invert: bool = False) -> np.ndarray:
    """``n`` slices [N,1,SIZE,SIZE] of a bright ellipse with a darker core on black; ``invert`` swaps the two contrasts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    images = np.zeros((n, 1, SIZE, SIZE), np.float32)
    for image, (a, b, core) in zip(images[:, 0], rng.uniform(0.35, 0.75, (n, 3)), strict=True):
        radius = (x / a) ** 2 + (y / b) ** 2
        image[radius < 1] = 0.4 if invert else 0.8
        image[radius < core**2] = 0.9 if invert else 0.3
    return images
