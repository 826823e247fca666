"""Orientation, grids and the one interpolation of each volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

INTERPOLATORS = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline3}


def orient(image: sitk.Image, code: str = "LPS") -> sitk.Image:
    """Permute and flip the axes so that they run (nearly) to the patient's left, back and head; no interpolation."""
    return sitk.DICOMOrient(image, code)


def stored_axes(image: sitk.Image) -> tuple[int, int, int]:
    """For each axis of an image as it is in its file, which of x, y, z (0, 1, 2) it becomes by `orient`."""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    i, j, k = (next(n for n, letters in enumerate(("LR", "PA", "SI")) if letter in letters) for letter in code)
    return i, j, k


def same_grid(a: sitk.Image, b: sitk.Image, tolerance_mm: float = 1e-3) -> bool:
    """Whether two volumes have the same voxels in the same places."""
    if a.GetSize() != b.GetSize():
        return False
    corners = [(0, 0, 0), tuple(n - 1 for n in a.GetSize())]
    corners += [(a.GetSize()[0] - 1, 0, 0), (0, a.GetSize()[1] - 1, 0)]
    gaps = [np.subtract(a.TransformIndexToPhysicalPoint(c), b.TransformIndexToPhysicalPoint(c)) for c in corners]
    return bool(np.abs(gaps).max() < tolerance_mm)


def grid_like(image: sitk.Image, spacing_mm: float | Sequence[float] | None = None) -> sitk.Image:
    """An empty (uint8) grid over the same field of view, with another voxel size if one is given."""
    if spacing_mm is None:
        spacing, size = image.GetSpacing(), image.GetSize()
    else:
        spacing = tuple(np.broadcast_to(spacing_mm, 3).astype(float))
        extents = np.multiply(image.GetSize(), image.GetSpacing())
        size = tuple(int(n) for n in np.maximum(1, np.round(extents / spacing)))
    # the centre of the field of view stays where it is
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    direction = np.reshape(image.GetDirection(), (3, 3))
    origin = np.subtract(centre, direction @ (np.multiply(np.subtract(size, 1), spacing) / 2))
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing([float(s) for s in spacing])
    grid.SetOrigin(origin.tolist())
    grid.SetDirection(image.GetDirection())
    return grid


def resample(
    image: sitk.Image,
    grid: sitk.Image,
    transform: sitk.Transform | None = None,
    *,
    fill: float = 0.0,
    interpolation: str = "linear",
) -> sitk.Image:
    """`image` on the voxels of `grid`; `transform` maps points of the grid to points of the image (ITK's convention).

    Values stay within the image's own range: cubic splines ring.
    """
    result = sitk.Resample(
        image, grid, transform or sitk.Transform(3, sitk.sitkIdentity), INTERPOLATORS[interpolation], fill,
        sitk.sitkFloat32,
    )  # fmt: skip
    if interpolation == "linear":
        return result
    extremes = sitk.MinimumMaximumImageFilter()
    extremes.Execute(image)
    low, high = min(extremes.GetMinimum(), fill), max(extremes.GetMaximum(), fill)
    return sitk.Clamp(result, sitk.sitkFloat32, low, high)


def overlap(image: sitk.Image, grid: sitk.Image, points: int = 24) -> float:
    """Share of the smaller field of view that lies within the other, by a lattice of points, 0 to 1."""
    a, b = (image, grid) if _volume(image) <= _volume(grid) else (grid, image)
    steps = (np.arange(points) + 0.5) / points
    lattice = np.stack(np.meshgrid(*[steps * n - 0.5 for n in a.GetSize()], indexing="ij"), -1).reshape(-1, 3)
    world = lattice @ _index_to_world(a).T + a.GetOrigin()
    index = (world - b.GetOrigin()) @ np.linalg.inv(_index_to_world(b)).T
    inside = ((index >= -0.5) & (index <= np.subtract(b.GetSize(), 0.5))).all(axis=1)
    return float(inside.mean())


def affine_ras(image: sitk.Image) -> np.ndarray:
    """The 4x4 matrix from voxel index (x, y, z) to RAS millimetres (NIfTI's world, ITK's is LPS)."""
    affine = np.eye(4)
    affine[:3, :3] = _index_to_world(image)
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _index_to_world(image: sitk.Image) -> np.ndarray:
    return np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()


def _volume(image: sitk.Image) -> float:
    return float(np.prod(np.multiply(image.GetSize(), image.GetSpacing())))
