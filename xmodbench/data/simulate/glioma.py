"""Low-grade gliomas grown into simulated heads, and what gadolinium lights up in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter

# share of tumours, and where: towards the side, from the front, from below, as shares of the brain
LOBES = {
    "frontal": (0.45, (0.45, 0.22, 0.62)),
    "temporal": (0.25, (0.68, 0.45, 0.30)),
    "insular": (0.20, (0.55, 0.42, 0.48)),
    "parietal": (0.10, (0.50, 0.70, 0.72)),
}
VOLUME_ML = (30.0, 0.6, 8.0, 90.0)  # median, spread of the logarithm, least, most
EDGE_MM, PUSH_MM, PUSH_REACH_MM = (2.0, 3.0), (2.0, 5.0), 15.0
DARK_CORE, CORE_SHARE = 0.2, 0.5
SKULL_MM = 10.0
TEXTURE_SD, TEXTURE_MM = 0.08, 6.0


def grow_glioma(
    generator: np.random.Generator, fractions: dict[str, np.ndarray], grid: sitk.Image
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Any]]:
    """Put a tumour into white matter, push its surroundings away.

    Args:
        fractions: tissue fractions [Z, Y, X] of a head; left as they are.
        grid: their grid, oriented LPS, isotropic.

    Returns:
        Fractions with ``glioma``; how uneven the tumour's signal is (a factor around 1); what was drawn.
    """
    spacing = grid.GetSpacing()[0]
    seed, lobe = _seed(generator, fractions)
    ml = float(np.clip(np.exp(generator.normal(np.log(VOLUME_ML[0]), VOLUME_ML[1])), *VOLUME_ML[2:]))
    distance = _distance(_blobs(generator, fractions, seed, ml, spacing), spacing)
    push = float(generator.uniform(*PUSH_MM))
    moved = _pushed(fractions, distance, push, grid)
    share = np.clip(0.5 - distance / generator.uniform(*EDGE_MM), 0, 1).astype(np.float32)
    tissue = share * (moved["gm"] + moved["wm"])
    grown = moved | {"gm": moved["gm"] * (1 - share), "wm": moved["wm"] * (1 - share), "glioma": tissue}
    dark = bool(generator.random() < DARK_CORE)
    if dark:
        # fluid in the middle: dark in FLAIR as in T1
        middle = np.clip(0.5 - (distance - CORE_SHARE * distance.min()) / 2, 0, 1) * tissue
        grown["glioma"], grown["csf"] = tissue - middle, grown["csf"] + middle
    noise = gaussian_filter(generator.standard_normal(share.shape), TEXTURE_MM / spacing)
    uneven = 1 + share * (TEXTURE_SD * noise / noise.std()).astype(np.float32)
    centre = np.argwhere(share > 0.5).mean(0)[::-1] * spacing + grid.GetOrigin()
    facts = {
        "lobe": lobe,
        "asked_ml": ml,
        "volume_ml": float(tissue.sum() * spacing**3 / 1000),
        "push_mm": push,
        "dark_core": dark,
        "centre_mm": centre.tolist(),
    }
    return grown, uneven, facts


def enhance(
    generator: np.random.Generator, fractions: dict[str, np.ndarray], grid: sitk.Image
) -> dict[str, np.ndarray]:
    """Fractions with ``enhanced``, taken from the fluid: sagittal sinus, dura, choroid plexus."""
    spacing, csf = grid.GetSpacing()[0], fractions["csf"]
    bone = fractions["bone"] + fractions["marrow"] > 0.5
    from_bone = distance_transform_edt(~bone) * spacing
    brain = np.argwhere(fractions["wm"] > 0.5)
    middle, low = (brain.min(0) + brain.max(0)) / 2, brain.min(0)
    z, _, x = np.ogrid[tuple(slice(n) for n in csf.shape)]
    sinus = (np.abs(x - middle[2]) * spacing < 4) & (from_bone < 6) & (z > middle[0])
    dura = np.clip(1.5 - from_bone / 1.5, 0, 0.5) * (z > low[0])
    noise = gaussian_filter(generator.standard_normal(csf.shape), 2.0 / spacing)
    plexus = (from_bone > 32) & (noise > noise.std()) & (z > low[0])
    share = np.maximum(np.maximum(sinus, dura), 0.8 * plexus).astype(np.float32)
    return fractions | {"csf": csf * (1 - share), "enhanced": csf * share}


def _seed(generator: np.random.Generator, fractions: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """A voxel (z, y, x) of white matter in a lobe."""
    names = list(LOBES)
    lobe = names[generator.choice(len(names), p=[LOBES[name][0] for name in names])]
    aside, back, up = np.array(LOBES[lobe][1]) + generator.normal(0, 0.04, 3)
    brain = np.argwhere(fractions["gm"] + fractions["wm"] > 0.5)
    low, high = brain.min(0), brain.max(0)
    side = generator.choice((-1, 1))
    place = low + (high - low) * np.array([up, back, 0.5 + 0.5 * side * aside])
    white = np.argwhere(fractions["wm"] > 0.8)
    return white[((white - place) ** 2).sum(1).argmin()], lobe


def _blobs(generator, fractions, seed: np.ndarray, ml: float, spacing: float) -> np.ndarray:
    """Mask of a few Gaussian blobs within the brain, cut at the level that gives the volume."""
    radius = (3 * ml * 1000 / (4 * np.pi)) ** (1 / 3) / spacing
    z, y, x = np.ogrid[tuple(slice(n) for n in fractions["wm"].shape)]
    level = np.zeros(fractions["wm"].shape, np.float32)
    for _ in range(generator.integers(3, 6)):
        c = seed + generator.normal(0, 0.35 * radius, 3)
        width = radius * generator.uniform(0.5, 0.8)
        level += np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / (2 * width**2)).astype(np.float32)
    level[fractions["gm"] + fractions["wm"] < 0.3] = 0
    count = max(1, round(ml * 1000 / spacing**3))
    return level > np.partition(level.ravel(), -count)[-count]


def _distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    rough = (distance_transform_edt(~mask) - distance_transform_edt(mask)) * spacing
    return gaussian_filter(rough, 1.0).astype(np.float32)


def _pushed(fractions: dict[str, np.ndarray], distance: np.ndarray, push: float, grid: sitk.Image):
    """Tissue moved away from the tumour, less with distance, not at the skull."""
    spacing = grid.GetSpacing()[0]
    gradient = np.stack(np.gradient(gaussian_filter(distance, 3.0 / spacing), spacing))
    outward = gradient / np.maximum(np.linalg.norm(gradient, axis=0), 0.3)
    # within the tumour the shift fades towards its middle
    size = push * np.where(distance > 0, np.exp(-distance / PUSH_REACH_MM), 1 - distance / distance.min())
    bone = fractions["bone"] + fractions["marrow"] > 0.3
    size *= np.clip(distance_transform_edt(~bone) * spacing / SKULL_MM, 0, 1)
    shift = np.stack([-size * outward[axis] for axis in (2, 1, 0)], axis=-1)
    field = sitk.GetImageFromArray(np.ascontiguousarray(shift, dtype=np.float64), isVector=True)
    field.CopyInformation(grid)
    names = list(fractions)
    stack = sitk.Compose([sitk.GetImageFromArray(fractions[name].astype(np.float32)) for name in names])
    stack.CopyInformation(grid)
    moved = sitk.Resample(
        stack, grid, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat32
    )  # fmt: skip
    return dict(zip(names, np.moveaxis(sitk.GetArrayFromImage(moved), -1, 0), strict=True))
