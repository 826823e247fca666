"""Whether images lie where their targets do, in the right order and on the right grey scale: what no mean score tells apart
from a poor method.

Places are judged on edges (the size of the gradient), which do not depend on contrast: edges of an image fit those of its
own target better than moved, turned over or a slice further, unless that was done to the image.
An image without anatomy fits nowhere, and nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xmodbench.lean_imports import without_init

try:
    with without_init("scipy.optimize"):  # solvers that scores have no use for
        from scipy.optimize._lsap import linear_sum_assignment
except ImportError:  # where another version keeps it elsewhere, all that is lost is the time
    from scipy.optimize import linear_sum_assignment

SIDE = 32
"""Pixels that edges are averaged to, where images are compared with many."""
MOST = 500
"""Images that are looked at: all of every so many subjects where there are more."""
STEPS = (-3, -2, -1, 1, 2, 3)
FLAT = 0.2
"""Grey values of neighbours in the target that differ by no more are of one tissue."""
JUMP = 0.7
"""Neighbours that differ by more, where the target is flat, are what whole numbers leave that ran over their range."""

TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flipped left to right": lambda images: images[:, :, ::-1],
    "flipped upside down": lambda images: images[:, ::-1],
    "turned by 180 degrees": lambda images: images[:, ::-1, ::-1],
    "transposed": lambda images: images.transpose(0, 2, 1),
}


def edges(images: np.ndarray) -> np.ndarray:
    """Size of the gradient, float32 [N, H, W]."""
    rows, cols = np.gradient(np.asarray(images, np.float32), axis=(1, 2))
    return np.hypot(rows, cols)


def placement(images: np.ndarray, targets: np.ndarray, subjects: list[str]) -> dict[str, Any]:
    """How images fit their targets, moved and exchanged.

    Args:
        images, targets: float32 [N, H, W] in [0, 1], in one order.
        subjects: of each; slices of one are neighbours where they follow each other.

    Returns:
        ``fit``: mean correlation of edges with those of the own target; ``moves``: by what is done to the images, the mean
        ``gain`` in correlation, its ``z`` (mean over standard error) and the ``fit`` then; ``offset``: pixels down and
        right at which most images fit best, the ``share`` of images that do, with ``fit`` and ``gain`` there;
        ``exchanged``: mean ``fit`` and ``gain`` where targets are dealt out anew, one to each, as is best for all;
        ``images``: how many were looked at.
    """
    rows = looked_at(subjects)
    images, targets, subjects = images[rows], targets[rows], [subjects[row] for row in rows]
    own, real = edges(images), edges(targets)
    coarse = _unit(_averaged(real))
    stored = _own(_unit(_averaged(own)), coarse)
    turned = {name: _own(_unit(_averaged(turn(own))), coarse) for name, turn in TURNS.items() if _fits(turn, own)}
    moves = {name: _gain(fits, stored) for name, fits in turned.items()}
    for step in STEPS:
        if (found := _shifted(_unit(_averaged(own)), coarse, stored, subjects, step)) is not None:
            moves[f"{abs(step)} slice{'s' if abs(step) > 1 else ''} {'further' if step > 0 else 'before'}"] = found
    return {
        "images": len(rows),
        "fit": float(stored.mean()),
        "moves": moves,
        "offset": _offset(own, real),
        "exchanged": _exchanged(_unit(_averaged(own)), coarse),
    }


def looked_at(subjects: list[str]) -> list[int]:
    """Rows of at most `MOST` images: of subjects spread evenly over all."""
    names = list(dict.fromkeys(subjects))
    chosen = set(names[:: -(-len(subjects) // MOST)])
    return [row for row, name in enumerate(subjects) if name in chosen][:MOST]


def grey_scale(images: np.ndarray, targets: np.ndarray, subjects: list[str]) -> dict[str, float]:
    """How grey values of images go with those of their targets.

    Returns:
        ``slope`` and ``intercept``: of the targets' values on the images', by least squares over all pixels; ``fit``: their
        correlation; ``jumps``: share of neighbouring pixels that differ by more than `JUMP` where the target is flat;
        ``fit_without``: the correlation over all pixels that have no part in a jump.
    """
    rows = looked_at(subjects)
    x, y = np.asarray(images[rows], np.float64), np.asarray(targets[rows], np.float64)
    in_jump, count = np.zeros(x.shape, bool), 0
    for axis in (1, 2):
        jumps = (np.abs(np.diff(x, axis=axis)) > JUMP) & (np.abs(np.diff(y, axis=axis)) < FLAT)
        count += int(jumps.sum())
        before, after = (
            tuple(slice(*ends) if n == axis else slice(None) for n in range(3)) for ends in ((0, -1), (1, None))
        )
        in_jump[before] |= jumps
        in_jump[after] |= jumps
    variance = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance else 0.0
    # what ran over its range is dark inside too, not at its edge alone: wherever the target is as bright as at a jump
    level = y[in_jump].min() if in_jump.any() else np.inf
    return {
        "slope": slope,
        "intercept": float(y.mean() - slope * x.mean()),
        "fit": _correlation(x, y),
        "jumps": count / (2 * x.size),
        "fit_without": _correlation(x[y < level], y[y < level]),
    }


def _fits(turn: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> bool:
    return turn(images[:1]).shape == images[:1].shape


def _averaged(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W] averaged over squares, so that a side has about `SIDE` pixels; flat, [N, pixels]."""
    by = max(1, min(images.shape[1:]) // SIDE)
    height, width = (side // by * by for side in images.shape[1:])
    cut = images[:, :height, :width].reshape(len(images), height // by, by, width // by, by)
    return cut.mean((2, 4)).reshape(len(images), -1)


def _unit(flat: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1; of zeros where they are constant."""
    centred = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-6)


def _own(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1)


def _gain(fits: np.ndarray, stored: np.ndarray) -> dict[str, float]:
    gains = np.asarray(fits - stored, np.float64)
    spread = float(gains.std(ddof=1)) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    z = float(gains.mean()) / max(spread, 1e-9)
    return {"gain": float(gains.mean()), "z": z if np.isfinite(z) else 0.0, "fit": float(fits.mean())}


def _shifted(
    own: np.ndarray, real: np.ndarray, stored: np.ndarray, subjects: list[str], step: int
) -> dict[str, float] | None:
    """The gain from taking images as those of targets so many slices further; None where no subject has so many."""
    rows = [i for i in range(len(own)) if 0 <= i + step < len(own) and subjects[i] == subjects[i + step]]
    return _gain(_own(own[rows], real[np.add(rows, step)]), stored[rows]) if rows else None


def _offset(own: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Where the edges of most images fit best, by cross-correlation over the whole image, which is taken as periodic."""
    height, width = own.shape[1:]
    places, fits, gains = [], [], []
    for one, other in zip(own, real, strict=True):
        one, other = one - one.mean(), other - other.mean()
        length = float(np.linalg.norm(one) * np.linalg.norm(other))
        if length < 1e-6:
            continue
        field = np.fft.irfft2(np.fft.rfft2(one) * np.conj(np.fft.rfft2(other)), (height, width)) / length
        row, col = np.unravel_index(int(field.argmax()), field.shape)
        places.append(((row + height // 2) % height - height // 2, (col + width // 2) % width - width // 2))
        fits.append(float(field.max()))
        gains.append(float(field.max() - field[0, 0]))
    if not places:
        return {"down": 0, "right": 0, "share": 0.0, "fit": 0.0, "gain": 0.0}
    found = np.array(places)
    down, right = (int(np.median(found[:, axis])) for axis in (0, 1))
    near = (np.abs(found - [down, right]) <= 1).all(1)
    fit, gain = (float(np.mean(np.array(values)[near])) if near.any() else 0.0 for values in (fits, gains))
    return {"down": down, "right": right, "share": float(near.mean()), "fit": fit, "gain": gain}


def _exchanged(own: np.ndarray, real: np.ndarray) -> dict[str, float]:
    fits = np.asarray(own @ real.T, np.float64)
    dealt = fits[linear_sum_assignment(fits, maximize=True)]
    return {"fit": float(dealt.mean()), "gain": float(dealt.mean() - np.diagonal(fits).mean())}


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if x.size < 2 or not x.std() or not y.std():
        return 0.0
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])
