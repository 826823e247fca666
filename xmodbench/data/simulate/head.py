"""Anatomy of simulated heads: brain tissue of the ICBM 2009a template, with skull, scalp, orbits and neck around it.

The template is the one nilearn ships (ICBM 2009a nonlinear, gray and white matter maps). It is free to use with its
copyright notice: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label

from xmodbench.data.simulate.deform import Lattice, subject_map
from xmodbench.data.volumes.resample import orient, resample
from xmodbench.errors import UserError

# box of the template around the head, LPS mm, and its coarse grid for distances
BOX = ((-104.0, 104.0), (-104.0, 136.0), (-130.0, 118.0))
COARSE_MM = 2.0
CENTRE = (0.0, 18.0, 8.0)
SIZE = (0.92, 0.03)
WARP_RMS_MM = 4.0
SULCI_MM = 10.0
NECK_BELOW_MM, NECK_TAPER = -22.0, 0.12
EYES, EYE_MM, ORBIT_MM = ((-33.0, -54.0, -36.0), (33.0, -54.0, -36.0)), 12.0, 18.0
NOSE, NOSE_MM = (0.0, -52.0, -52.0), (11.0, 19.0, 17.0)
CHANNELS = ("gm", "wm", "brain", "head", "eye", "nose")


@dataclass(frozen=True)
class Template:
    """Maps of the template on one grid: gm and wm (probabilities), and signed distances in mm (negative inside)."""

    maps: sitk.Image  # vector image, channels as in CHANNELS
    ventricles: np.ndarray  # [4, X, Y, Z] on `lattice`: outward unit vectors, and the distance
    skull: np.ndarray  # [X, Y, Z] on `lattice`: 1 at the skull and beyond, falling to 0 at 30 mm depth in the brain
    lattice: Lattice


def box_grid(spacing: float) -> sitk.Image:
    """An empty grid over the head's box, oriented LPS."""
    size = [round((high - low) / spacing) + 1 for low, high in BOX]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin([low for low, _ in BOX])
    return grid


@cache
def template(spacing: float) -> Template:
    """The template on a grid of `spacing` mm."""
    distances, ventricles, skull, lattice = _shape()
    grid = box_grid(spacing)
    fine = [sitk.GetImageFromArray(_tissue_map(name, grid, spacing)) for name in ("gm", "wm")]
    fine += [_upsampled(distances[name], grid) for name in CHANNELS[2:]]
    for image in fine:
        image.CopyInformation(grid)
    return Template(sitk.Compose(fine), ventricles, skull, lattice)


@cache
def _shape() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, Lattice]:
    """What does not depend on the grid: distances at 2 mm; ventricles and skull on the lattice."""
    coarse = box_grid(COARSE_MM)
    own, lattice = Lattice(coarse.GetOrigin(), coarse.GetSize(), COARSE_MM), Lattice.over(coarse)
    gm, wm = (_tissue_map(name, coarse, COARSE_MM) for name in ("gm", "wm"))
    brain = _smooth_brain(gm + wm)
    points = own.points().transpose(0, 3, 2, 1)
    distances = {
        "brain": brain,
        "head": np.minimum(brain, _neck(brain, points[2])),
        "eye": np.min([np.linalg.norm(points - np.reshape(c, (3, 1, 1, 1)), axis=0) for c in EYES], axis=0),
        "nose": _ellipsoid(points, NOSE, NOSE_MM),
    }
    depth = own.at(brain.transpose(2, 1, 0)[None], lattice.points())[0]
    return distances, _ventricles(gm, wm, brain, own, lattice), np.clip(1 + depth / 30, 0, 1), lattice


def subject_fractions(generator: np.random.Generator, spacing: float) -> tuple[dict[str, np.ndarray], sitk.Image]:
    """Tissue fractions [Z, Y, X] of a new subject (they sum to 1 with air) and the grid they are on."""
    base = template(spacing)
    growth = generator.uniform(-2, 4)
    outward, distance = base.ventricles[:3], base.ventricles[3]
    # widening the ventricles by g mm means looking g mm further in; the effect fades over 15 mm
    radial = outward * np.exp(-((distance / 15.0) ** 2))
    extra = -growth * radial / np.linalg.norm(radial, axis=0).max()
    transform = subject_map(generator, base.lattice, CENTRE, SIZE, WARP_RMS_MM, extra, base.skull)
    grid = box_grid(spacing)
    warped = sitk.Resample(
        base.maps, grid, transform, sitk.sitkLinear, 0.0, sitk.sitkVectorFloat32, useNearestNeighborExtrapolator=True
    )  # fmt: skip
    maps = dict(zip(CHANNELS, np.moveaxis(sitk.GetArrayViewFromImage(warped), -1, 0), strict=True))
    return _fractions(maps, generator, spacing), grid


def _fractions(maps: dict[str, np.ndarray], generator: np.random.Generator, spacing: float) -> dict[str, np.ndarray]:
    """Layers around the brain by distance: CSF, skull with diploe, galea and muscle, fat, skin; thicknesses by subject."""
    thickness = generator.uniform(*zip((2, 3), (1.5, 2), (2, 3), (1.5, 2), (1, 2), (3, 5), (1.6, 2.2), strict=True))
    csf, inner, diploe, outer, galea, fat, skin = np.cumsum(thickness)
    width = max(spacing, 1.0)

    def beyond(distance: np.ndarray, edge: float) -> np.ndarray:
        return np.clip((distance - edge) / width + 0.5, 0, 1)

    d, h = maps["brain"], maps["head"]
    inside = 1 - beyond(d, csf)
    outside, soft = beyond(d, outer), 1 - beyond(h, galea)
    marrow = beyond(d, inner) - beyond(d, diploe)
    skull = beyond(d, csf) - outside
    total = np.maximum(maps["gm"] + maps["wm"], 1)
    gm, wm = inside * maps["gm"] / total, inside * maps["wm"] / total
    eye = (1 - beyond(maps["eye"], EYE_MM)) * outside * soft
    orbit = (1 - beyond(maps["eye"], ORBIT_MM)) * outside * soft - eye
    nose = (1 - beyond(maps["nose"], 0)) * np.clip(outside * soft - eye - orbit, 0, 1)
    return {
        "gm": gm,
        "wm": wm,
        "csf": inside - gm - wm + eye,
        "bone": np.maximum(skull - marrow, 0),
        "marrow": marrow,
        "muscle": outside * soft - eye - orbit - nose,
        "fat": outside * (beyond(h, galea) - beyond(h, fat)) + orbit,
        "skin": outside * (beyond(h, fat) - beyond(h, skin)),
    }


def _tissue_map(name: str, grid: sitk.Image, spacing: float) -> np.ndarray:
    spec = importlib.util.find_spec("nilearn")
    places = spec and spec.submodule_search_locations
    folder = Path(places[0]) / "datasets" / "data" if places else Path("nilearn")
    path = folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise UserError("the ICBM 2009a template is missing", path, "install nilearn>=0.13,<0.14, which ships it")
    image = orient(sitk.ReadImage(str(path), sitk.sitkFloat32)) / 255
    if spacing > 1:
        image = sitk.SmoothingRecursiveGaussian(image, 0.4 * spacing)
    return np.clip(sitk.GetArrayFromImage(resample(image, grid)), 0, 1)


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    return (distance_transform_edt(~mask) - distance_transform_edt(mask)) * COARSE_MM


def _smooth_brain(tissue: np.ndarray) -> np.ndarray:
    """Signed distance to the brain's hull: sulci closed (10 mm), as the skull's inside does not follow them."""
    mask = tissue > 0.3
    grown = distance_transform_edt(~mask) * COARSE_MM <= SULCI_MM
    closed = distance_transform_edt(grown) * COARSE_MM > SULCI_MM
    hull = binary_fill_holes(closed | mask)
    return gaussian_filter(_signed_distance(hull), 1.0).astype(np.float32)


def _neck(brain: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Signed distance to a column with the outline of the head at the skull base, tapering downwards."""
    level = int(np.argmin(np.abs(height[:, 0, 0] - NECK_BELOW_MM)))
    outline = gaussian_filter(brain[level], 2.0)
    below = NECK_BELOW_MM - height
    return np.where(
        below > 0, outline[None] + NECK_TAPER * below, np.hypot(np.maximum(outline[None], 0), below)
    ).astype("f4")


def _ellipsoid(points: np.ndarray, centre, radii) -> np.ndarray:
    scaled = (points - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
    return ((np.linalg.norm(scaled, axis=0) - 1) * min(radii)).astype(np.float32)


def _upsampled(array: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.CopyInformation(box_grid(COARSE_MM))
    identity = sitk.Transform(3, sitk.sitkIdentity)
    return sitk.Resample(
        image, grid, identity, sitk.sitkLinear, 0.0, sitk.sitkFloat32, useNearestNeighborExtrapolator=True
    )  # fmt: skip


def _ventricles(gm, wm, brain, own: Lattice, lattice: Lattice) -> np.ndarray:
    """Outward direction from the lateral ventricles, and distance to them, on the lattice [4, X, Y, Z]."""
    x, y, z = own.points().transpose(0, 3, 2, 1)
    place = (np.abs(x) < 40) & (y > -45) & (y < 50) & (z > -8) & (z < 38) & (brain < -16)
    parts, count = label((1 - gm - wm > 0.5) & place)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    distance = gaussian_filter(_signed_distance(np.isin(parts, 1 + np.flatnonzero(sizes > 0.2 * sizes.max()))), 1.5)
    gradient = np.stack(np.gradient(distance, COARSE_MM))[::-1]
    outward = gradient / np.maximum(np.linalg.norm(gradient, axis=0), 0.3)
    field = np.concatenate([outward, distance[None]]).transpose(0, 3, 2, 1)
    field = own.at(field, lattice.points())
    # directions that turn within a few millimetres, as between the two ventricles, would fold the anatomy
    field[:3] = [gaussian_filter(part, 1.5) for part in field[:3]]
    return field
