"""Whether structures are where the target has them: edges that a copy of the source lacks, and simple segmentations.

Images are ``[N, H, W]`` in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

EDGE_SIGMA = 1.0  # pixels
EDGE_SHARE = 0.2
"""So many of the target's body pixels, those with the steepest grey values, may be edges."""
SAME_WAY = np.cos(np.pi / 4)
CLASSES = 3
INNER = 0.2
"""Of the way from the outline to the middle: what lies further out is skin, fat and skull."""
BINS = 128


@dataclass(frozen=True)
class Edges:
    """Where grey values change most steeply across the way they rise, bool [N, H, W], and which way, unit [2, N, H, W]."""

    there: np.ndarray
    way: np.ndarray


def slopes(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of smoothed images: their length [N, H, W] and direction [2, N, H, W], float32."""
    smooth = ndimage.gaussian_filter(np.asarray(images, np.float32), (0, EDGE_SIGMA, EDGE_SIGMA))
    ways = np.stack(np.gradient(smooth, axis=(1, 2)))
    steep = np.hypot(*ways)
    return steep, ways / np.maximum(steep, 1e-12)


def steep_enough(steep: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """By slice ``[N]``, how steep an edge is: more than four fifths of the body of the target, whose `slopes` are given."""
    found = [
        np.quantile(field[inside], 1 - EDGE_SHARE) if inside.any() else np.inf
        for field, inside in zip(steep, mask, strict=True)
    ]
    # flat images have no edges, whatever their rounding
    return np.maximum(found, 1e-4)


def edges(steep: np.ndarray, way: np.ndarray, mask: np.ndarray, least: np.ndarray) -> Edges:
    """Edges inside `mask` of images with these `slopes`, one pixel wide: steeper than `least` [N], and than both neighbours
    along the way greys rise."""
    # the neighbour lies in one of eight directions
    step = np.rint(way).astype(int)
    rows, columns = steep.shape[1:]
    n, y, x = np.arange(len(steep))[:, None, None], np.arange(rows)[:, None], np.arange(columns)
    ahead, behind = (
        steep[n, np.clip(y + sign * step[0], 0, rows - 1), np.clip(x + sign * step[1], 0, columns - 1)]
        for sign in (1, -1)
    )
    return Edges((steep > least[:, None, None]) & (steep >= ahead) & (steep > behind) & mask, way)


def matched(one: Edges, other: Edges) -> np.ndarray:
    """Bool [N, H, W]: edges that `other` has too, at most a pixel off and rising the same way (within 45 degrees)."""
    found = np.zeros_like(one.there)
    padded = np.pad(other.way * other.there, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = one.there.shape[1:]
    for down in range(3):
        for right in range(3):
            shifted = padded[:, :, down : down + rows, right : right + columns]
            found |= np.einsum("anhw,anhw->nhw", one.way, shifted) > SAME_WAY
    return found & one.there


def new_edges(prediction: np.ndarray, target: np.ndarray, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """F1 ``[N]`` of the edges that the target has and the source has not.

    Right: such an edge that the translation has. Missing: one that it has not. Wrong: an edge of the translation that the
    target has not. Edges that source and target share count for nothing, so that a copy of the source has 0, and the
    target 1; 1 too where there is nothing to find and nothing wrong.
    """
    found = [slopes(images) for images in (prediction, target, source)]
    least = steep_enough(found[1][0], mask)
    made, real, given = (edges(*one, mask, least) for one in found)
    wanted = real.there & ~matched(real, given)
    right = (wanted & matched(real, made)).sum((1, 2))
    missing = wanted.sum((1, 2)) - right
    wrong = (made.there & ~matched(made, real)).sum((1, 2))
    total = 2 * right + missing + wrong
    return np.where(total > 0, 2 * right / np.maximum(total, 1), 1.0)


def dice(a: np.ndarray, b: np.ndarray) -> float | None:
    """Overlap of two segmentations, 2 |A and B| / (|A| + |B|); None where the second, the target's, is empty."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum()) if b.any() else None


def inner(mask: np.ndarray) -> np.ndarray:
    """The body [N, H, W] without its rim, slice by slice."""
    found = np.zeros_like(mask)
    for place, inside in enumerate(mask):
        depth = ndimage.distance_transform_edt(inside)
        found[place] = depth > INNER * depth.max()
    return found & mask


def tissue_classes(target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Int ``[128]``: class of each grey value from 0 to 1, 1 to 3 from dark to bright, by a mixture of three Gaussians of
    the target's values `inside`."""
    counts, ends = np.histogram(target[inside], bins=BINS, range=(0.0, 1.0))
    return mixture((ends[:-1] + ends[1:]) / 2, counts.astype(np.float64)).argmax(0) + 1


def classified(images: np.ndarray, inside: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Int [N, H, W]: the class of each pixel `inside` by its grey value, 0 outside."""
    bins = np.minimum((np.asarray(images, np.float64) * BINS).astype(int), BINS - 1)
    return np.where(inside, classes[bins], 0)


def mixture(values: np.ndarray, counts: np.ndarray, iterations: int = 100) -> np.ndarray:
    """Shares ``[3, values]`` of three Gaussians, ordered by their means, fitted to counts by expectation maximisation.

    It starts at the sixths of the distribution (1/6, 1/2, 5/6), with no chance in it.
    """
    total = counts.sum()
    cumulated = np.cumsum(counts) / max(total, 1)
    means = np.interp((np.arange(CLASSES) + 0.5) / CLASSES, cumulated, values)
    centre = np.average(values, weights=counts) if total else 0.5
    least = np.square(values[1] - values[0])
    variances = np.full(
        CLASSES, max(least, np.average(np.square(values - centre), weights=counts) / 9 if total else 1.0)
    )
    weights = np.full(CLASSES, 1 / CLASSES)
    share = _shares(values, means, variances, weights)
    for _ in range(iterations if total else 0):
        mass = share * counts
        of_each = np.maximum(mass.sum(1), 1e-9)
        means = mass @ values / of_each
        variances = np.maximum(least, (mass * np.square(values - means[:, None])).sum(1) / of_each)
        weights = of_each / of_each.sum()
        share = _shares(values, means, variances, weights)
    return share[np.argsort(means, kind="stable")]


def _shares(values: np.ndarray, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    log = np.log(weights)[:, None] - 0.5 * np.log(variances)[:, None]
    log = log - 0.5 * np.square(values - means[:, None]) / variances[:, None]
    share = np.exp(log - log.max(0))
    return share / share.sum(0)
