"""Where voxels lie, as records keep it: enough to build the grid again and to bring a volume back onto it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.resample import affine_ras

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS to LPS and back


@dataclass(frozen=True)
class Grid:
    """A grid of voxels.

    Args:
        size: voxels along x, y and z.
        affine: 4x4 from voxel index (x, y, z) to RAS mm, its axes perpendicular.
    """

    size: tuple[int, int, int]
    affine: np.ndarray

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of an image."""
        return cls(image.GetSize(), affine_ras(image))

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Grid:
        """What `facts` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        x, y, z = (int(n) for n in facts["size"])
        affine = np.array(facts["affine"], float)
        if affine.shape != (4, 4) or min(x, y, z) < 1 or not np.isfinite(affine).all():
            raise ValueError("no grid")
        return cls((x, y, z), affine)

    def facts(self) -> dict[str, Any]:
        """JSON from which `read` makes it again, to the bit."""
        return {"size": list(self.size), "affine": self.affine.tolist()}

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size along x, y and z, mm."""
        return np.round(np.linalg.norm(self.affine[:3, :3], axis=0), 6)

    def image(self, voxels: np.ndarray | None = None) -> sitk.Image:
        """`voxels` [z, y, x] on this grid; an empty (uint8) one where none are given."""
        image = sitk.Image(list(self.size), sitk.sitkUInt8) if voxels is None else sitk.GetImageFromArray(voxels)
        to_lps = _FLIP @ self.affine
        image.SetSpacing(self.spacing.tolist())
        image.SetOrigin(to_lps[:3, 3].tolist())
        image.SetDirection((to_lps[:3, :3] / self.spacing).ravel().tolist())
        return image


def rigid_facts(transform: sitk.Transform) -> list[list[float]]:
    """The 4x4 matrix, in RAS mm, of a transform that is linear."""
    corner = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([np.array(transform.TransformPoint(row)) - corner for row in np.eye(3).tolist()], axis=1)
    matrix[:3, 3] = corner
    return (_FLIP @ matrix @ _FLIP).tolist()


def rigid(facts: list[list[float]]) -> sitk.Transform:
    """The transform whose `rigid_facts` these are."""
    matrix = _FLIP @ np.array(facts, float) @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform
