"""From a signal map to a scan: grid, slice profile, bias field, Rician noise, gain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from xmodbench.data.volumes.resample import resample

BIAS = {1.5: 0.15, 3.0: 0.30}
SUBSAMPLES = 3
SIGNAL_LEVEL = 500.0


@dataclass(frozen=True)
class Grid:
    """Voxels of an acquisition: size, spacing in mm, direction cosines by column, centre (LPS mm)."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    direction: np.ndarray
    centre: np.ndarray

    def image(self, shift: float = 0.0) -> sitk.Image:
        """The empty grid, moved by a share of the slice thickness along its third axis."""
        offset = np.multiply(np.subtract(self.size, 1) / 2, self.spacing)
        offset[2] -= shift * self.spacing[2]
        grid = sitk.Image([int(n) for n in self.size], sitk.sitkUInt8)
        grid.SetSpacing(self.spacing)
        grid.SetDirection(np.ravel(self.direction).tolist())
        grid.SetOrigin((np.asarray(self.centre) - self.direction @ offset).tolist())
        return grid


def texture(
    generator: np.random.Generator, shape, spacing: float, sd: float = 0.03, sigma_mm: float = 4.0
) -> np.ndarray:
    """A smooth factor around 1 that makes tissue uneven."""
    noise = gaussian_filter(generator.standard_normal(shape), sigma_mm / spacing)
    return (1 + sd * noise / noise.std()).astype(np.float32)


def bias_field(generator: np.random.Generator, shape, strength: float) -> np.ndarray:
    """exp of a random polynomial of degree 3 in the coordinates; its log spans +-log(1 + `strength`)."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij", sparse=True)
    powers = [p for p in product(range(4), repeat=3) if 0 < sum(p) <= 3]
    field = np.zeros(shape)
    for (a, b, c), weight in zip(powers, generator.normal(0, 1, len(powers)), strict=True):
        field = field + weight * z**a * y**b * x**c
    field -= field.mean()
    return np.exp(field * np.log1p(strength) / np.abs(field).max()).astype(np.float32)


def acquire(
    generator: np.random.Generator,
    signal: sitk.Image,
    grid: Grid,
    *,
    tesla: float,
    reference_signal: float,
    snr: float,
    offset: sitk.Transform | None = None,
) -> sitk.Image:
    """Scan a signal map (float32) into an int16 volume.

    Args:
        grid: of the acquisition; each voxel is a boxcar mean over the slice thickness.
        tesla: 1.5 or 3; the bias field is stronger at 3.
        reference_signal: signal of white matter (or muscle), from which noise and gain are measured.
        snr: of that tissue; each scan's own is within +-20 %.
        offset: maps the scanner's points to the subject's: where the subject had moved to.
    """
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    parts = [sitk.GetArrayFromImage(resample(signal, grid.image(step), offset)) for step in steps]
    values = np.mean(parts, axis=0)
    values = values * bias_field(generator, values.shape, BIAS[tesla])
    sigma = reference_signal / (snr * generator.uniform(0.8, 1.2))
    real, imaginary = sigma * generator.standard_normal((2, *values.shape))
    magnitude = np.hypot(values + real, imaginary)
    gain = generator.uniform(0.7, 1.4) * SIGNAL_LEVEL / reference_signal
    scan = sitk.GetImageFromArray(np.clip(np.round(magnitude * gain), 0, 32767).astype(np.int16))
    scan.CopyInformation(grid.image())
    return scan
