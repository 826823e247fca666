"""Slices in space: a subject's slices as one volume, and a foreign volume on the store's slices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d, map_coordinates

from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.placing import placed
from xmodbench.data.volumes.resample import affine_ras, orient
from xmodbench.errors import UserError
from xmodbench.stages.predictions.values import Scale
from xmodbench.store import SliceStore

ON_GRID = 0.01
"""Voxels: so near to a grid's points values are taken as they are, without interpolation."""
LEAST_INSIDE = 0.25
"""Of a slice's field that has to lie in a volume which is to hold it: less, and the volume lies elsewhere."""


def slice_affines(store: SliceStore) -> list[np.ndarray]:
    """For each slice the 4x4 matrix from (column, row, 0) to RAS mm.

    Raises:
        UserError: the store does not tell.
    """
    try:
        found = [np.array(json.loads(row["affine"]), float) for row in store.rows]
    except (KeyError, ValueError):
        found = []
    if not found or any(matrix.shape != (4, 4) or not np.linalg.det(matrix) for matrix in found):
        fix = "use PNG or npy, a file for each slice"
        raise UserError("its slices.csv does not say where slices lie in a volume", store.directory, fix)
    return found


@dataclass(frozen=True)
class Stack:
    """A subject's slices in one volume: the place of each along it, and its matrix from voxel index to RAS mm.

    Slices that were left out between others leave gaps, which hold 0.
    """

    rows: list[int]
    places: list[int]
    depth: int
    affine: np.ndarray

    def image(self, slices: np.ndarray) -> sitk.Image:
        """The volume of its slices [n, H, W]."""
        voxels = np.zeros((self.depth, *slices.shape[1:]), np.float32)
        voxels[self.places] = slices
        return placed(sitk.GetImageFromArray(voxels), self.affine, None)


def stack(rows: list[int], affines: list[np.ndarray], where: object) -> Stack:
    """The volume of one subject's slices.

    Args:
        rows: of the store.
        affines: of all its slices.

    Raises:
        UserError: the slices are not of one volume.
    """
    first = affines[rows[0]]
    normal = first[:3, 2]
    offsets = np.array([affines[row][:3, 3] - first[:3, 3] for row in rows])
    steps = offsets @ normal / (normal @ normal)
    whole = np.round(steps).astype(int)
    apart = np.abs(offsets - whole[:, None] * normal).max()
    turned = max(np.abs(affines[row][:3, :3] - first[:3, :3]).max() for row in rows)
    if max(apart, turned) > ON_GRID:
        raise UserError("its slices are not of one volume", where, "use PNG or npy, a file for each slice")
    step = int(np.gcd.reduce(whole)) or 1
    places = (whole - whole.min()) // step
    affine = first.copy()
    affine[:3, 2] = normal * step
    affine[:3, 3] += normal * whole.min()
    # a volume of one slice is no volume to most programs
    return Stack(rows, places.tolist(), max(2, int(places.max()) + 1), affine)


class ForeignVolume:
    """A volume of predictions, from which the store's slices are cut.

    Args:
        path: of its file.
        scale: of its values.

    Raises:
        UserError: it cannot be read, or its values contradict their unit.
    """

    def __init__(self, path: Path, scale: Scale):
        image = orient(read_volume(path))
        self.path, self.affine = path, affine_ras(image)
        self.voxels = np.ascontiguousarray(scale.unit(sitk.GetArrayFromImage(image), path).transpose(2, 1, 0))
        self._made: dict[tuple, np.ndarray] = {}

    def reaches(self, affine: np.ndarray) -> bool:
        """Whether the slice of a matrix lies between the volume's ends."""
        to_index = np.linalg.inv(self.affine) @ affine
        normal = int(np.abs(to_index[:3, 2]).argmax())
        return bool(-0.5 <= to_index[normal, 3] <= self.voxels.shape[normal] - 0.5)

    def slice(self, affine: np.ndarray, shape: tuple[int, int], image_id: str) -> np.ndarray:
        """The slice of a matrix, float32 [H, W] in [0, 1], 0 outside the volume.

        Raises:
            UserError: the volume holds too little of the slice's field.
        """
        to_index = np.linalg.inv(self.affine) @ affine
        rows, cols = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
        points = np.stack([cols, rows, np.zeros_like(rows), np.ones_like(rows)]).reshape(4, -1)
        index = (to_index @ points)[:3].T
        inside = ((index >= -0.5) & (index <= np.array(self.voxels.shape) - 0.5)).all(axis=1)
        if inside.mean() < LEAST_INSIDE:
            problem = f"holds {inside.mean():.0%} of the field of slice {image_id}"
            raise UserError(problem, self.path, "keep the header of the input volume, or name it by its own subject")
        return self._sampled(to_index, index, inside).reshape(shape)

    def _sampled(self, to_index: np.ndarray, index: np.ndarray, inside: np.ndarray) -> np.ndarray:
        nearest = np.round(index).astype(int)
        if np.abs(index - nearest)[inside].max() < ON_GRID:
            values = np.zeros(len(index), np.float32)
            values[inside] = self.voxels[tuple(nearest[inside].T)]
            return values
        values = map_coordinates(self._smoothed(to_index), index.T, order=1, mode="nearest")
        return np.where(inside, values, 0).astype(np.float32)

    def _smoothed(self, to_index: np.ndarray) -> np.ndarray:
        """The voxels, smoothed along axes that the slice has fewer pixels along, as slices of the store are made smaller."""
        steps = [(int(np.abs(to_index[:3, n]).argmax()), float(np.linalg.norm(to_index[:3, n]))) for n in (0, 1)]
        key = tuple((axis, round(factor, 4)) for axis, factor in steps)
        if key not in self._made:
            voxels = self.voxels
            for axis, factor in steps:
                if factor > 1:
                    voxels = gaussian_filter1d(voxels, (factor - 1) / 2, axis=axis, mode="nearest")
            self._made = {key: voxels}  # slices of one subject ask for the same
        return self._made[key]
