"""Shapes of subjects: an affine map, a diffeomorphism and wider or narrower ventricles, as one map to a template.

Points are in ITK's world (LPS, mm). All maps go from the subject to the template, the way resampling needs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

LATTICE_MM = 4.0
SMOOTH_MM, CALM_MM = 14.0, 40.0
MIN_JACOBIAN = 0.2
ATTEMPTS = 20


@dataclass(frozen=True)
class Lattice:
    """A coarse grid of points on which smooth maps are kept: first point and number of points along x, y, z."""

    origin: tuple[float, float, float]
    size: tuple[int, int, int]
    spacing: float = LATTICE_MM

    @classmethod
    def over(cls, image: sitk.Image) -> Lattice:
        """The lattice that covers an image oriented LPS."""
        extents = np.multiply(np.subtract(image.GetSize(), 1), image.GetSpacing())
        x, y, z = (int(n) for n in np.ceil(extents / LATTICE_MM) + 1)
        return cls(image.GetOrigin(), (x, y, z))

    def points(self) -> np.ndarray:
        """World points [3, X, Y, Z]."""
        axes = [o + self.spacing * np.arange(n) for o, n in zip(self.origin, self.size, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"))

    def at(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """A field [C, X, Y, Z] of this lattice at points [3, ...], linear, its border value outside."""
        index = (points - np.reshape(self.origin, (3, *[1] * (points.ndim - 1)))) / self.spacing
        return np.stack([map_coordinates(part, index, order=1, mode="nearest") for part in field])


def random_affine(generator: np.random.Generator, scale: tuple[float, float]) -> np.ndarray:
    """A 3x3 matrix, template to subject: `scale` (mean, sd), 3 % anisotropy, rotation sd 3 degrees, shear sd 0.02."""
    angles = np.radians(generator.normal(0, 3, 3))
    rotation = sitk.Euler3DTransform((0, 0, 0), *angles.tolist())
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = generator.normal(0, 0.02, 3)
    size = generator.normal(*scale) * (1 + generator.normal(0, 0.03, 3))
    return np.reshape(rotation.GetMatrix(), (3, 3)) @ shear @ np.diag(size)


def random_velocity(
    generator: np.random.Generator, lattice: Lattice, rms_mm: float, sigma_mm: float = 14.0
) -> np.ndarray:
    """A smooth random vector field [3, X, Y, Z] in mm."""
    noise = generator.standard_normal((3, *lattice.size))
    velocity = np.stack([gaussian_filter(part, sigma_mm / lattice.spacing) for part in noise])
    return velocity * rms_mm / np.sqrt((velocity**2).sum(0).mean())


def flow(lattice: Lattice, velocity: np.ndarray, squarings: int = 7) -> np.ndarray:
    """Displacements [3, X, Y, Z] after flowing for unit time along a stationary velocity field, by scaling and squaring."""
    points = lattice.points()
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = displacement + lattice.at(displacement, points + displacement)
    return displacement


def jacobian_min(mapped: np.ndarray, spacing: float) -> float:
    """Least determinant of the Jacobian of a map given by its values [3, X, Y, Z]."""
    rows = [np.stack(np.gradient(part, spacing)) for part in mapped]
    return float(np.linalg.det(np.moveaxis(np.stack(rows), (0, 1), (-2, -1))).min())


def subject_map(
    generator: np.random.Generator, lattice: Lattice, centre, scale, rms_mm: float, extra: np.ndarray, calm: np.ndarray
) -> sitk.Transform:
    """The map from a subject to the template.

    Args:
        lattice: of the template.
        centre: world point that the affine map leaves alone.
        scale: mean and sd of the subject's size relative to the template.
        rms_mm: of the velocity field.
        extra: further velocities [3, X, Y, Z] in the template.
        calm: where the map is to be smoother [X, Y, Z], 0 to 1: a skull has no bumps of a gyrus' size.

    Raises:
        RuntimeError: no map without folding (least Jacobian above 0.2) in 20 draws.
    """
    inverse = np.linalg.inv(random_affine(generator, scale))
    centre = np.reshape(centre, (3, 1, 1, 1))
    points = lattice.points()
    straight = np.einsum("ij,jxyz->ixyz", inverse, points - centre) + centre
    for _ in range(ATTEMPTS):
        lively, quiet = (random_velocity(generator, lattice, rms_mm, sigma) for sigma in (SMOOTH_MM, CALM_MM))
        velocity = (1 - calm) * lively + calm * quiet + extra
        bent = straight + lattice.at(flow(lattice, velocity), straight)
        if jacobian_min(bent, lattice.spacing) / np.linalg.det(inverse) > MIN_JACOBIAN:
            return _transform(bent - points, lattice)
    raise RuntimeError(f"no deformation of {rms_mm} mm without folding in {ATTEMPTS} draws")


def _transform(displacement: np.ndarray, lattice: Lattice) -> sitk.Transform:
    field = sitk.GetImageFromArray(
        np.ascontiguousarray(displacement.transpose(3, 2, 1, 0), dtype=np.float64), isVector=True
    )
    field.SetOrigin(lattice.origin)
    field.SetSpacing([lattice.spacing] * 3)
    return sitk.DisplacementFieldTransform(field)
