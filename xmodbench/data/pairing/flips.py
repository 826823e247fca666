"""Whether one of two modalities is turned over in the plane.

A flip of a file turns it about the volume's middle, which is not the head's, and a registration afterwards has laid the
turned head on the other one: it fits back only after another small move in the plane. That is looked for where turning over
alone takes little away, against the best small move without turning over.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import affine_transform

from xmodbench.data.pairing.gain import Gain, gain
from xmodbench.data.pairing.information import shared_information, slice_information

FLIPS = {"left-right": (2,), "up-down": (1,), "left-right and up-down": (1, 2)}
WORTH_A_SEARCH = -0.15
SEARCH_SIDE = 64
SEARCH_STEPS = ((8.0, 4, 4), (4.0, 2, 2), (2.0, 1, 1))
"""Degrees, and pixels down and right, coarse to fine."""
SEARCH_ROUNDS = 12

Move = tuple[float, float, float]


def flip_gains(a: np.ndarray, b: np.ndarray, stored: np.ndarray) -> dict[str, Gain]:
    """The gain from turning b over, by how.

    Args:
        a, b: grey levels [N, H, W] of one subject's slices.
        stored: their NMI, [N].
    """
    gains = {name: gain(stored, slice_information(a, np.flip(b, axes))) for name, axes in FLIPS.items()}
    close = [name for name, found in gains.items() if found.mean > WORTH_A_SEARCH]
    if not close:
        return gains
    step = -(-max(a.shape[1:]) // SEARCH_SIDE)
    a, b = a[:, ::step, ::step], b[:, ::step, ::step]
    # what a small move alone brings is no sign of a flip
    unturned = best_in_plane(a, b)
    for name in close:
        moved = gain(unturned, best_in_plane(a, np.flip(b, FLIPS[name])))
        gains[name] = max(gains[name], moved)
    return gains


def best_in_plane(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NMI [N] at the in-plane move of b, the same for all slices, at which they share most."""
    move = max(((0.0, 0.0, 0.0), (0.0, *_centroid(b) - _centroid(a))), key=lambda start: _shared(a, b, start))
    best = _shared(a, b, move)
    for steps in SEARCH_STEPS:
        for _ in range(SEARCH_ROUNDS):
            tries = [_stepped(move, axis, sign * size) for axis, size in enumerate(steps) for sign in (-1, 1)]
            found = max(tries, key=lambda each: _shared(a, b, each))
            if (value := _shared(a, b, found)) <= best:
                break
            move, best = found, value
    return slice_information(a, _moved(b, move))


def _stepped(move: Move, axis: int, by: float) -> Move:
    turned, down, right = (value + by * (axis == place) for place, value in enumerate(move))
    return turned, down, right


def _shared(a: np.ndarray, b: np.ndarray, move: Move) -> float:
    return shared_information(a, _moved(b, move))


def _moved(b: np.ndarray, move: Move) -> np.ndarray:
    """Content taken from `move` (degrees about the middle, pixels) away."""
    if move == (0.0, 0.0, 0.0):
        return b
    cosine, sine = np.cos(np.radians(move[0])), np.sin(np.radians(move[0]))
    matrix, middle = np.array([[cosine, -sine], [sine, cosine]]), (np.array(b.shape[1:]) - 1) / 2
    start = middle - matrix @ middle + move[1:]
    return np.stack([affine_transform(image, matrix, start, order=1) for image in b])


def _centroid(levels: np.ndarray) -> np.ndarray:
    """Row and column, whole pixels, of the middle of what is no air."""
    rows, cols = np.nonzero((levels > 2).any(0))
    return np.array([rows.mean(), cols.mean()]).round() if len(rows) else np.zeros(2)
