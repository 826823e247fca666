"""Small random affine maps of training slices: turned, moved, scaled and sheared a little."""

from __future__ import annotations

import numpy as np

SCALE, STRETCH, TURN, MOVE, SHEAR = 0.1, 0.2, 5.0, 0.1, 1.0
"""Most of each: scale of the image, scale of each axis, degrees, share of a side, degrees (ContourDiff's)."""


def warped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image [H, W] under a random map, bilinear; 0 where it shows what lay outside."""
    from scipy.ndimage import affine_transform  # most settings do without

    scale, *stretch = 1 + rng.uniform(-1, 1, 3) * (SCALE, STRETCH, STRETCH)
    turn, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (TURN, SHEAR))
    move = rng.uniform(-MOVE, MOVE, 2) * image.shape
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[1, np.tan(shear)], [0, 1]]) / (scale * np.array(stretch))
    centre = (np.array(image.shape) - 1) / 2
    found = affine_transform(image, matrix, centre - matrix @ (centre + move), order=1, mode="constant")
    return found.astype(np.float32, copy=False)
