"""From Hounsfield units to a CT scan: blur, grid, noise with streaks between the hips, couch."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from xmodbench.data.simulate.scanner import SUBSAMPLES, Grid

AIR_HU, MAX_HU = -1000.0, 3071.0
BLUR_MM, NOISE_FWHM_PX = 1.0, 1.5
STREAKS, STREAK_REACH_MM = 1.8, (30.0, 25.0)  # noise between the hips relative to elsewhere; reach along y and z
COUCH_SHELL_HU, COUCH_CORE_HU, COUCH_MM, COUCH_HALF_WIDTH_MM, COUCH_SKIN_MM = 100.0, -850.0, 30.0, 210.0, 2.5


def add_couch(hu: np.ndarray, grid: sitk.Image, back: float) -> np.ndarray:
    """Lay the body [Z, Y, X] on a flat couch whose top is at `back` (y, mm, LPS); the body stays on top."""
    sides = list(zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True))[:2]
    x, y = (start + step * np.arange(count) for start, step, count in sides)
    depth, aside = (y - back)[:, None], (COUCH_HALF_WIDTH_MM - np.abs(x))[None, :]
    edge = np.minimum(np.minimum(depth, COUCH_MM - depth), aside)
    width = max(1.0, grid.GetSpacing()[0])
    inside = np.clip(edge / width + 0.5, 0, 1)
    core = np.clip((edge - COUCH_SKIN_MM) / width + 0.5, 0, 1)
    value = AIR_HU + inside * (COUCH_SHELL_HU - AIR_HU) + core * (COUCH_CORE_HU - COUCH_SHELL_HU)
    return np.maximum(hu, value[None].astype(np.float32))


def ct_scan(
    generator: np.random.Generator,
    hu: sitk.Image,
    grid: Grid,
    *,
    noise_hu: float,
    hips: tuple[float, float],
    offset: sitk.Transform | None = None,
) -> sitk.Image:
    """Scan a map of Hounsfield units (float32) into an int16 volume, -1000 to 3071.

    Args:
        grid: of the acquisition; each voxel is a boxcar mean over the slice thickness.
        noise_hu: standard deviation of the noise; larger with a sharper kernel.
        hips: height of the hips, y and z in mm: bone on both sides makes more noise between.
        offset: maps the scanner's points to the subject's.
    """
    blurred = sitk.SmoothingRecursiveGaussian(hu, BLUR_MM) if 0.3 * hu.GetSpacing()[0] < BLUR_MM else hu
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    values: np.ndarray = np.mean(
        [sitk.GetArrayFromImage(_beyond(blurred, grid.image(step), offset)) for step in steps], axis=0
    )
    noise = gaussian_filter(generator.standard_normal(values.shape), (0, *[NOISE_FWHM_PX / 2.355] * 2))
    values += noise * (noise_hu / noise.std()) * _streaks(grid, values.shape, hips)
    scan = sitk.GetImageFromArray(np.clip(np.round(values), AIR_HU, MAX_HU).astype(np.int16))
    scan.CopyInformation(grid.image())
    return scan


def _beyond(hu: sitk.Image, grid: sitk.Image, offset: sitk.Transform | None) -> sitk.Image:
    """`hu` on a grid; the body goes on where the model ends, so that a slice just outside it is no air."""
    offset = offset or sitk.Transform(3, sitk.sitkIdentity)
    return sitk.Resample(hu, grid, offset, sitk.sitkLinear, AIR_HU, sitk.sitkFloat32, True)


def _streaks(grid: Grid, shape, hips: tuple[float, float]) -> np.ndarray:
    start = np.array(grid.image().GetOrigin())
    y, z = (start[axis] + grid.spacing[axis] * np.arange(n) for axis, n in ((1, shape[1]), (2, shape[0])))
    band = np.exp(-(((y - hips[0]) / STREAK_REACH_MM[0]) ** 2))[None] * np.exp(
        -(((z - hips[1]) / STREAK_REACH_MM[1]) ** 2)
    )[:, None]  # fmt: skip
    return (1 + (STREAKS - 1) * band)[:, :, None]
