"""Slices back into volumes: the way of `xmodbench.data.volumes.subject` backwards, by what the slice store kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.grids import Grid, rigid
from xmodbench.data.volumes.normalise import Ends, ends_columns, raw_values
from xmodbench.data.volumes.resample import orient, resample, same_grid
from xmodbench.data.volumes.slicing import PLANES, Crop, Plane, from_square, plane_view
from xmodbench.errors import UserError

PREPARE_AGAIN = "prepare the data set again: it did not keep then what leads back"


@dataclass(frozen=True)
class Place:
    """Where the slices of one subject were taken from.

    Attributes:
        grid: the grid that they were cut out of, its axes running (nearly) to left, back and head.
        plane, crop: how.
        scans: by modality, the grid of its file.
        moved: by modality, the transform from points of `grid` to points of the file, where a registration found one.
    """

    grid: Grid
    plane: Plane
    crop: Crop
    scans: Mapping[str, Grid]
    moved: Mapping[str, sitk.Transform]

    @classmethod
    def read(cls, facts: Mapping[str, Any], where: object) -> Place:
        """From what a store's manifest holds under ``volumes.<subject>``.

        Raises:
            UserError: it does not hold it, as those of earlier versions.
        """
        try:
            scans = {name: Grid.read(item) for name, item in facts["scans"].items()}
            moved = {name: rigid(item["moved"]) for name, item in facts["scans"].items() if "moved" in item}
            return cls(Grid.read(facts["grid"]), PLANES[facts["plane"]], Crop(**facts["crop"]), scans, moved)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
            problem = "does not say how its slices lay in their volumes"
            raise UserError(problem, where, PREPARE_AGAIN) from None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a slice of the grid."""
        return self.grid.size[self.plane.rows], self.grid.size[self.plane.cols]


@dataclass(frozen=True)
class PutBack:
    """A volume made of slices.

    Attributes:
        image: float32, raw values; `background` where there is no slice.
        inside: uint8 on the same grid, 1 where there is one.
    """

    image: sitk.Image
    inside: sitk.Image
    background: float


def put_back(
    images: np.ndarray,
    indices: Sequence[int],
    ends: Sequence[Ends],
    place: Place,
    scan: str | None = None,
    background: float | None = None,
) -> PutBack:
    """Put slices back into a volume, in raw values.

    Args:
        images: float32 [N, H, W] in [0, 1].
        indices: of each slice along the normal of its plane.
        ends: of each slice, the raw values that 0 and 1 stand for.
        scan: modality onto whose file's own grid the volume is brought, in the file's order of axes; None for the grid
            that the slices were cut out of.
        background: raw value outside the slices' field of view; what 0 stands for if left out.
    """
    low = min(float(low) for low, _ in ends) if background is None else background
    voxels = np.full(place.grid.size[::-1], low, np.float32)
    inside = np.zeros(voxels.shape, np.uint8)
    view, mask = plane_view(voxels, place.plane), plane_view(inside, place.plane)
    window = np.ones((place.crop.height, place.crop.width), np.uint8)
    for image, index, pair in zip(images, indices, ends, strict=True):
        place.crop.put(from_square(raw_values(image, pair), place.crop), view[index])
        place.crop.put(window, mask[index])
    found = PutBack(place.grid.image(voxels), place.grid.image(inside), low)
    return found if scan is None else _onto(found, place, scan)


def _onto(found: PutBack, place: Place, scan: str) -> PutBack:
    """The same on the grid of a scan's file: its axes turned over where that is all, or else interpolated once more."""
    grid = place.scans[scan].image()
    if scan not in place.moved and same_grid(orient(grid), found.image):
        code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.GetDirection())
        image, inside = (orient(item, code) for item in (found.image, found.inside))
        if not same_grid(image, grid):
            raise RuntimeError("axes turned over do not give the scan's own")
    else:
        back = place.moved[scan].GetInverse() if scan in place.moved else None
        share = resample(sitk.Cast(found.inside, sitk.sitkFloat32), grid, back)
        # no value is mixed with the background: each is a mean of those inside alone
        above = (found.image - found.background) * sitk.Cast(found.inside, sitk.sitkFloat32)
        mean = resample(above, grid, back) / sitk.Maximum(share, 1e-6)
        inside = sitk.Cast(share >= 0.5, sitk.sitkUInt8)
        image = sitk.Cast(mean, sitk.sitkFloat32) * sitk.Cast(inside, sitk.sitkFloat32) + found.background
    for item in (image, inside):
        item.CopyInformation(grid)
    return PutBack(image, inside, found.background)


def row_ends(row: Mapping[str, str], modality: str, where: object) -> Ends:
    """The raw values that 0 and 1 of a modality stand for in a slice, by its row of ``slices.csv``.

    Raises:
        UserError: the row does not say so.
    """
    try:
        low, high = (float(row[column]) for column in ends_columns(modality))
    except (KeyError, TypeError, ValueError):
        problem = f"does not say which values of '{modality}' became 0 and 1"
        raise UserError(problem, where, PREPARE_AGAIN) from None
    return low, high


def row_index(row: Mapping[str, str], where: object) -> int:
    """The number of a slice in its volume.

    Raises:
        UserError: the row does not say so.
    """
    try:
        return int(row["index"])
    except (KeyError, TypeError, ValueError):
        raise UserError("does not say which slices of its volumes it holds", where, PREPARE_AGAIN) from None
