"""Solid shapes with soft edges, painted over each other.

A shape gives the signed distance (mm, negative inside) at points [3, ...] in LPS mm; distances are exact near the edge
of round shapes and good enough elsewhere: they only make an edge one voxel wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """A tissue's place: signed distance, and the box (low, high) that it is within, None where it may be anywhere."""

    tissue: str
    distance: Distance
    box: tuple[np.ndarray, np.ndarray] | None = None


def ellipsoid(tissue: str, centre, radii, grow: float = 0.0) -> Shape:
    """An ellipsoid along the axes, its radii made larger by `grow`."""
    centre, radii = np.asarray(centre, float), np.asarray(radii, float) + grow

    def distance(points: np.ndarray) -> np.ndarray:
        scaled = (points - _column(centre, points)) / _column(radii, points)
        radius = np.sqrt((scaled**2).sum(0))
        return (radius - 1) * radii.min()

    return Shape(tissue, distance, (centre - radii, centre + radii))


def tube(tissue: str, path: Sequence | np.ndarray, radius: float) -> Shape:
    """All points within `radius` of a polyline."""
    corners = np.asarray(path, np.float32)

    def distance(points: np.ndarray) -> np.ndarray:
        nearest = np.full(points.shape[1:], np.inf, np.float32)
        for a, b in pairwise(corners):
            along, offset = b - a, points - _column(a, points)
            share = np.clip(_dot(along / (along @ along), offset), 0, 1)
            offset -= _column(along, points) * share
            np.minimum(nearest, (offset**2).sum(0), out=nearest)
        return np.sqrt(nearest) - np.float32(radius)

    return Shape(tissue, distance, (corners.min(0) - radius, corners.max(0) + radius))


def plate(tissue: str, centre, across, up, size: tuple[float, float], half_thickness: float) -> Shape:
    """An elliptic plate spanned by two directions; `size` is its half-lengths along them."""
    centre = np.asarray(centre, float)
    u = np.asarray(across, float) / np.linalg.norm(across)
    v = np.asarray(up, float) - u * (u @ np.asarray(up, float))
    v = v / np.linalg.norm(v)
    reach = max(size) + half_thickness

    def distance(points: np.ndarray) -> np.ndarray:
        offset = points - _column(centre, points)
        flat = np.hypot(_dot(u / size[0], offset), _dot(v / size[1], offset))
        return np.maximum(np.abs(_dot(np.cross(u, v), offset)) - half_thickness, (flat - 1) * min(size))

    return Shape(tissue, distance, (centre - reach, centre + reach))


def within(shape: Shape, bound: Distance) -> Shape:
    """The part of a shape where `bound` is negative."""
    return Shape(shape.tissue, lambda points: np.maximum(shape.distance(points), bound(points)), shape.box)


def core(shape: Shape, tissue: str, depth: float) -> Shape:
    """What is deeper than `depth` inside a shape."""
    return Shape(tissue, lambda points: shape.distance(points) + depth, shape.box)


def paint(
    shapes: Sequence[Shape],
    points: np.ndarray,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    values: Sequence[dict[str, float]],
    width: float,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Lay shapes over each other, the last on top; at an edge of `width` mm their values mix by share (partial volume).

    Args:
        points: [3, Z, Y, X] where each voxel of the subject lies in the shapes' space.
        places: the voxels' own x, y and z, rising and even; a shape is sought only around its box.
        values: for each map to make, the value of each tissue and of ``air``.

    Returns:
        The maps [Z, Y, X], and the index of the shape that fills each voxel wholly (-1 for air or a mixture).
    """
    maps = [np.full(points.shape[1:], table["air"], np.float32) for table in values]
    top = np.full(points.shape[1:], -1, np.int16)
    reach = [float(np.abs(points[i] - _along(places[i], i)).max()) + width for i in range(3)]
    for number, item in enumerate(shapes):
        cut = _cut(item, places, reach)
        share = np.clip(0.5 - item.distance(points[(slice(None), *cut)]) / width, 0, 1).astype(np.float32)
        for target, table in zip(maps, values, strict=True):
            part = target[cut]
            part += share * (np.float32(table[item.tissue]) - part)
        index = top[cut]
        index[share > 0] = -1
        index[share >= 1] = number
    return maps, top


def _cut(item: Shape, places: Sequence[np.ndarray], reach: Sequence[float]) -> tuple[slice, slice, slice]:
    """The voxels (z, y, x) that a shape may reach."""
    if item.box is None:
        return (slice(None),) * 3
    ends = [
        np.searchsorted(places[i], (item.box[0][i] - reach[i], item.box[1][i] + reach[i])) for i in range(3)
    ]  # fmt: skip
    z, y, x = (slice(int(first), int(last)) for first, last in reversed(ends))
    return z, y, x


def _along(values: np.ndarray, axis: int) -> np.ndarray:
    # x, y, z run along the last, the middle and the first axis
    shape = [1, 1, 1]
    shape[2 - axis] = len(values)
    return np.asarray(values, np.float32).reshape(shape)


def _dot(vector: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y, z = np.asarray(vector, np.float32)
    return x * points[0] + y * points[1] + z * points[2]


def _column(vector: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(vector, np.float32).reshape(3, *[1] * (points.ndim - 1))
