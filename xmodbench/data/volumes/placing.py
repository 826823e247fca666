"""Where a volume lies: matrices from voxel index to the world, what makes one usable, and what a header leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.errors import UserError

# positions further apart than this are a contradiction, nearer ones are rounding
APART_MM = 1.0
ROUNDING_MM = 0.01
# the largest side of a volume of a person: outside it the unit is not mm
SIDE_MM = (2.0, 5000.0)
UNITS = {"mm": 1.0, "m": 1000.0, "um": 0.001}
_LPS = np.diag([-1.0, -1.0, 1.0])
_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Frame:
    """Voxel size in mm, first voxel in LPS mm, and directions of the axes [3, 3] as columns."""

    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray

    def affine(self) -> np.ndarray:
        """The 4x4 matrix from voxel index to RAS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * self.spacing
        matrix[:3, 3] = self.origin
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


@dataclass
class Stored:
    """A volume as its file states it.

    Args:
        voxels: [z, y, x], the file's own numbers.
        affine: 4x4 from voxel index (x, y, z) to RAS mm; None where the file does not say how it lies.
        spacing: voxel size along x, y and z, mm.
        unstated: what the file leaves open where `affine` is None, for the message.
        frame: the same place as ITK would say it, to the last bit, where that is known.
        slope, intercept: what makes grey values of the numbers; None where they are the grey values.
        remarks: clauses about what was assumed or put right.
    """

    voxels: np.ndarray
    affine: np.ndarray | None
    spacing: Sequence[float]
    unstated: str = ""
    slope: float | None = None
    intercept: float = 0.0
    frame: Frame | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along x, y and z."""
        return self.voxels.shape[::-1]


def farthest(a: np.ndarray, b: np.ndarray, size: tuple[int, ...]) -> float:
    """Largest distance between where two 4x4 matrices put a corner of a grid, mm."""
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in size))])
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())


def rectangular(affine: np.ndarray, size: tuple[int, ...], path: Path, remarks: list[str]) -> np.ndarray:
    """The matrix, its axes made exactly perpendicular; more than rounding is remarked upon.

    Raises:
        UserError: it is no position in space, or shears the grid, which only a resampling could mend.
    """
    columns = affine[:3, :3]
    # float32 has seven digits
    spacing = np.round(np.linalg.norm(columns, axis=0), 6)
    if not np.isfinite(affine).all() or spacing.min() <= 0 or np.linalg.matrix_rank(columns / spacing, 1e-3) < 3:
        raise UserError("its axes are no directions in space", path, "correct its orientation in the header")
    # polar decomposition: the nearest rotation, so that only rounding is taken away
    left, _, right = np.linalg.svd(columns / spacing)
    straight = affine.copy()
    straight[:3, :3] = left @ right * spacing
    apart = farthest(straight, affine, size)
    if apart > APART_MM:
        problem = f"its header shears the voxels: perpendicular axes would move corners by {apart:.1f} mm"
        raise UserError(problem, path, "resample it to a rectangular grid, or correct its header")
    if apart > ROUNDING_MM:
        remarks.append(f"its axes are not quite perpendicular; they are made so, which moves corners by {apart:.2g} mm")
    return straight


def axes_along(code: str, spacing: Sequence[float], size: tuple[int, ...]) -> np.ndarray:
    """A matrix whose axes run to the directions of a code (``LPS``: left, back, head), the grid's middle at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(code):
        row, sign = _AXES[letter]
        affine[row, column] = sign * spacing[column]
    affine[:3, 3] = -affine[:3, :3] @ (np.subtract(size, 1) / 2)
    return affine


def located(stored: Stored, path: Path, orientation: str | None) -> np.ndarray:
    """The matrix of a volume, by `orientation` where its file does not say how it lies.

    Raises:
        UserError: neither says it, or it cannot be used; its size is none of a person in mm.
    """
    affine = stored.affine
    if affine is None:
        if orientation is None:
            fix = "set `assume_orientation` if you know how its axes run (to left, back and head: LPS), or convert it again"
            raise UserError(f"its orientation is not known ({stored.unstated})", path, fix)
        affine = axes_along(orientation, stored.spacing, stored.size)
        stored.remarks.append(
            f"its orientation is not known ({stored.unstated}): its axes are taken to run to {orientation}, as set by "
            "`assume_orientation`, its middle to lie at the origin"
        )
    side = float((np.linalg.norm(affine[:3, :3], axis=0) * stored.size).max())
    if np.isfinite(side) and not SIDE_MM[0] <= side <= SIDE_MM[1]:
        raise UserError(
            f"its longest side is {side:.3g} mm: no volume of a person", path, "correct the unit in its header"
        )
    return rectangular(affine, stored.size, path, stored.remarks)


def judged_unit(sides: np.ndarray, path: Path) -> str:
    """The unit (mm, m, um) in which sides of a volume are those of a person; mm before the others.

    Raises:
        UserError: there is none.
    """
    side = float(np.max(sides))
    fitting = [name for name, mm in UNITS.items() if SIDE_MM[0] <= side * mm <= SIDE_MM[1]]
    if not fitting:
        problem = f"no unit is stated, and its longest side of {side:.3g} fits neither mm, m nor um"
        raise UserError(problem, path, "write the unit into its header")
    return fitting[0]


def placed(image: sitk.Image, affine: np.ndarray, frame: Frame | None) -> sitk.Image:
    """The image where `affine` (see `rectangular`) puts it; to the bits of `frame` where that is the same place."""
    if frame is None or not farthest(affine, frame.affine(), image.GetSize()) < ROUNDING_MM:
        spacing = np.round(np.linalg.norm(affine[:3, :3], axis=0), 6)
        frame = Frame(spacing, _LPS @ affine[:3, 3], _LPS @ affine[:3, :3] / spacing)
    image.SetSpacing([float(value) for value in frame.spacing])
    image.SetOrigin([float(value) for value in frame.origin])
    image.SetDirection([float(value) for value in np.ravel(frame.direction)])
    return image
