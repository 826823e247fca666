"""Volumes to square slices: which, cut how, and where they belong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmodbench.data.volumes.settings import SliceSelection
from xmodbench.errors import UserError


@dataclass(frozen=True)
class Plane:
    """How a slice lies in a volume oriented LPS: voxel axes (x, y, z = 0, 1, 2) of its normal, rows and columns."""

    name: str
    letter: str
    normal: int
    rows: int
    cols: int
    flip_rows: bool  # superior is at the top of coronal and sagittal slices, anterior at the top of axial ones


PLANES = {
    "axial": Plane("axial", "z", 2, 1, 0, False),
    "coronal": Plane("coronal", "y", 1, 2, 0, True),
    "sagittal": Plane("sagittal", "x", 0, 2, 1, True),
}


def plane_of(axis: str, stored: tuple[int, int, int]) -> Plane:
    """The plane that a setting means.

    Args:
        axis: a plane's name, or ``stored``: across the third axis of the file.
        stored: for each axis of the file, which of x, y, z (0, 1, 2, oriented LPS) it runs along.
    """
    return next(p for p in PLANES.values() if p.normal == stored[2]) if axis == "stored" else PLANES[axis]


def plane_view(volume: np.ndarray, plane: Plane) -> np.ndarray:
    """View of a volume [Z, Y, X] as [slices, rows, cols]."""
    view = np.transpose(volume, [2 - plane.normal, 2 - plane.rows, 2 - plane.cols])
    return view[:, ::-1] if plane.flip_rows else view


def choose(mask: np.ndarray, spacing: float, how: SliceSelection) -> list[int]:
    """Indices of the slices to take, rising, each once.

    Args:
        mask: bool [slices, rows, cols], the head or body.
        spacing: distance between slices in mm.
        how: the way of choosing. Heights are shares of the mask's extent, which ends where the scan does: of two scans of
            one head, that which ends higher up has its slices higher up too, unless `height_mm` is given.

    Raises:
        UserError: the mask is empty, or no slice of the scan is at the heights asked for.
    """
    area = mask.sum(axis=(1, 2))
    inside = np.flatnonzero(area > 0.01 * area.max()) if area.max() else np.array([], int)
    if not len(inside):
        raise UserError("no head or body in the volume")
    bottom = inside[0] if how.height_mm is None else inside[-1] - how.height_mm / spacing
    low, high = (bottom + fraction * (inside[-1] - bottom) for fraction in how.height_range)
    if how.fractions is not None:
        places = low + np.array(how.fractions) * (high - low)
    elif how.count is not None:
        places = np.linspace(low, high, how.count)
    elif how.stride_mm is not None:
        places = np.arange(low, high + 1e-6, how.stride_mm / spacing)
    else:
        places = np.arange(np.ceil(low), np.floor(high + 1e-6) + 1, how.stride_slices or 1)
    # half away from zero: NumPy rounds .5 to even, which would take some slices twice and leave out others
    chosen = {int(np.floor(place + 0.5)) for place in places}
    # heights measured from the top may lie below the scan
    there = sorted(index for index in chosen if index >= 0)
    if chosen and not there:
        raise UserError("the scan ends above all the heights that slices are asked for at")
    return there


@dataclass(frozen=True)
class Crop:
    """A square field of view in the plane, in pixels of the slice; parts outside the slice are padded."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: np.ndarray, fill: float) -> np.ndarray:
        """The field of view of one slice [rows, cols]."""
        result = np.full((self.height, self.width), fill, image.dtype)
        there, here = self._shared(image.shape)
        result[here] = image[there]
        return result

    def put(self, cut: np.ndarray, image: np.ndarray) -> None:
        """The way back of `cut`: what it gave into its place in a slice [rows, cols], which is written to."""
        there, here = self._shared(image.shape)
        image[there] = cut[here]

    def coverage(self, shape: tuple[int, ...]) -> float:
        """Share of the field of view that lies in a slice [rows, cols]; the rest is padded."""
        rows, cols = self._shared(shape)[0]
        return (rows.stop - rows.start) * (cols.stop - cols.start) / (self.height * self.width)

    def _shared(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """What slice and field of view share, in each of the two."""
        spans = []
        for first, length, limit in zip((self.top, self.left), (self.height, self.width), shape, strict=True):
            start = min(max(0, first), limit)
            spans.append((start, max(start, min(limit, first + length)), first))
        there = tuple(slice(start, stop) for start, stop, _ in spans)
        here = tuple(
            slice(start - first, stop - first) if stop > start else slice(0, 0) for start, stop, first in spans
        )
        return (there[0], there[1]), (here[0], here[1])


def field_of_view(mask: np.ndarray, spacing: tuple[float, float], fov_mm: float | None) -> Crop:
    """A square of `fov_mm` around the middle of the mask's extent, or the whole slice padded to a square.

    Args:
        mask: bool [slices, rows, cols].
        spacing: of rows and columns, mm.
        fov_mm: side in mm.
    """
    rows, cols = mask.shape[1:]
    if fov_mm is None:
        side = max(rows * spacing[0], cols * spacing[1])
        centre = ((rows - 1) / 2, (cols - 1) / 2)
    else:
        side = fov_mm
        extents = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1))]
        centre = tuple((extent[0] + extent[-1]) / 2 for extent in extents)
    height, width = (max(1, round(side / s)) for s in spacing)
    top, left = (int(np.floor(c - (n - 1) / 2 + 0.5)) for c, n in zip(centre, (height, width), strict=True))
    return Crop(top, left, height, width)


def to_square(image: np.ndarray, crop: Crop, size: int, fill: float = 0.0) -> np.ndarray:
    """Cut the field of view out of a slice and resize it to `size` x `size`, smoothed before it is made smaller."""
    square = crop.cut(image, fill)
    if square.shape == (size, size):
        return square.astype(np.float32)
    return _resized(square, (size, size))


def from_square(image: np.ndarray, crop: Crop) -> np.ndarray:
    """The way back of `to_square`, as far as there is one: an image [size, size] on the pixels of its field of view."""
    if image.shape == (crop.height, crop.width):
        return image
    return _resized(image, (crop.height, crop.width))


def _resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from skimage.transform import resize  # trainings know of slices, and resize none

    return resize(image, shape, order=1, mode="edge", anti_aliasing=True).astype(np.float32)


def slice_affine(
    volume_affine: np.ndarray, shape: tuple, plane: Plane, index: int, crop: Crop, size: int
) -> np.ndarray:
    """The 4x4 matrix from (column, row, 0) of a slice's pixel centres to RAS millimetres.

    Args:
        volume_affine: 4x4, voxel index (x, y, z) to RAS mm.
        shape: (rows, cols) of the slice in the volume.
        plane, index: which slice.
        crop, size: how it was cut and resized.
    """
    scale = (crop.height / size, crop.width / size)
    # pixel centre p of the resized slice lies at scale * (p + 0.5) - 0.5 of the cut one
    first = (crop.top + 0.5 * scale[0] - 0.5, crop.left + 0.5 * scale[1] - 0.5)
    to_index = np.zeros((4, 4))
    to_index[3, 3] = 1
    to_index[plane.cols, 0], to_index[plane.cols, 3] = scale[1], first[1]
    sign, start = (-1, shape[0] - 1 - first[0]) if plane.flip_rows else (1, first[0])
    to_index[plane.rows, 1], to_index[plane.rows, 3] = sign * scale[0], start
    to_index[plane.normal, 2], to_index[plane.normal, 3] = 1, index
    return volume_affine @ to_index
