"""Rigid registration within a subject by mutual information, with an acceptance test.

Mattes mutual information (Mattes et al. 2003) over 50 bins, three levels, regular-step gradient descent, starting from
the headers' alignment (the scans are of one session), and once more from heads laid on each other where that is rejected.
Affine and deformable registration are left out on purpose: they hide errors and leak the target's geometry into the
source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.resample import resample

LEVEL_SPACING_MM = (4.0, 2.0, 1.0)
LEVEL_SMOOTHING_MM = (2.0, 1.0, 0.0)
# a fifth of the head's voxels, but more samples than this no longer change the result
MAX_SHARE, MAX_SAMPLES = 0.2, 20_000
MAX_TRANSLATION_MM, MAX_ROTATION_DEG, MIN_COVERAGE = 15.0, 15.0, 0.95
EDGE_MM = 2.0
SEARCH_MARGIN_MM = 10.0
# a start that is already right leaves nothing to gain: below this shift a missing gain is no failure
STILL_MM, STILL_DEG = 1.0, 1.0


@dataclass(frozen=True)
class Registration:
    """A rigid transform from points of the fixed image to points of the moving one, and how it was judged."""

    transform: sitk.Euler3DTransform
    translation_mm: float
    rotation_deg: float
    nmi_before: float
    nmi_after: float
    coverage: float
    start: str = "headers"
    reasons: tuple[str, ...] = field(default=())

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def facts(self) -> dict:
        """What goes into the manifest, rounded."""
        return {
            "translation_mm": round(self.translation_mm, 3),
            "rotation_deg": round(self.rotation_deg, 3),
            "nmi_before": round(self.nmi_before, 4),
            "nmi_after": round(self.nmi_after, 4),
            "coverage": round(self.coverage, 4),
            "start": self.start,
            "accepted": self.accepted,
            "transform": {
                "centre_mm": _rounded(self.transform.GetCenter()),
                "angles_rad": _rounded(self.transform.GetParameters()[:3]),
                "translation_mm": _rounded(self.transform.GetTranslation()),
            },
        }


def register_rigid(
    fixed: sitk.Image,
    moving: sitk.Image,
    fixed_mask: sitk.Image,
    moving_mask: sitk.Image,
    seed: int,
    fill: float = 0.0,
    limit_mm: float = MAX_TRANSLATION_MM,
) -> Registration:
    """Align `moving` to `fixed` (float32 volumes of one subject).

    Args:
        fixed_mask: uint8 mask of the head or body; only it is sampled.
        moving_mask: the same of `moving`, for the coverage.
        seed: of the random sampling.
        fill: raw value outside the moving image.
        limit_mm: largest translation accepted.

    Returns:
        The transform with its acceptance test: translation of the head's centre below `limit_mm`, rotation below 15
        degrees, normalised mutual information improved, moving head over at least 95 % of the fixed one. All are against
        the headers' alignment, from whichever start the transform was found.
    """
    masks = fixed_mask, moving_mask
    headers = sitk.Euler3DTransform()
    headers.SetCenter(_centre(fixed_mask))
    with one_thread():
        first = _search("headers", headers, fixed, moving, masks, seed, fill, limit_mm)
        if first.accepted:
            return first
        moments = sitk.Euler3DTransform(headers)
        moments.SetTranslation(np.subtract(_centre(moving_mask), _centre(fixed_mask)).tolist())
        second = _search("moments", moments, fixed, moving, masks, seed, fill, limit_mm)
    # where both are rejected, the better one tells more about why
    return max(first, second, key=lambda result: (result.accepted, result.nmi_after))


def _search(
    name: str, start: sitk.Euler3DTransform, fixed, moving, masks, seed: int, fill: float, limit_mm: float
) -> Registration:
    """The transform found from one start, judged against the headers' alignment."""
    fixed_mask, moving_mask = masks
    headers = sitk.Euler3DTransform()
    headers.SetCenter(start.GetCenter())
    # most of a search is smoothing, and most of a scan is air
    near, region = _around(fixed_mask, SEARCH_MARGIN_MM), _around(moving_mask, SEARCH_MARGIN_MM + MAX_TRANSLATION_MM)
    transform = _optimise(_cut(fixed, near), _cut(moving, region), _cut(fixed_mask, near), start, seed)
    translation = float(np.linalg.norm(transform.GetTranslation()))
    cosine = (np.trace(np.reshape(transform.GetMatrix(), (3, 3))) - 1) / 2
    rotation = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    inside = sitk.GetArrayViewFromImage(fixed_mask) > 0
    reference = sitk.GetArrayViewFromImage(fixed)[inside]
    before, after = (
        nmi(reference, sitk.GetArrayFromImage(resample(moving, fixed, t, fill=fill))[inside])
        for t in (headers, transform)
    )
    # the edge of a mask depends on the contrast of the scalp: that much is no missing head
    moving_mask = sitk.BinaryDilate(moving_mask, [max(1, round(EDGE_MM / s)) for s in moving_mask.GetSpacing()])
    covered = sitk.Resample(moving_mask, fixed, transform, sitk.sitkNearestNeighbor, 0)
    coverage = float((sitk.GetArrayViewFromImage(covered)[inside] > 0).mean())
    still = translation < STILL_MM and rotation < STILL_DEG
    if still and after <= before:
        # the headers were right to begin with
        transform, translation, rotation, after = headers, 0.0, 0.0, before
    tests = {
        f"moved by {translation:.1f} mm (limit {limit_mm:g})": translation >= limit_mm,
        f"turned by {rotation:.1f} degrees (limit {MAX_ROTATION_DEG:g})": rotation >= MAX_ROTATION_DEG,
        f"mutual information fell from {before:.3f} to {after:.3f}": after <= before and not still,
        f"covers {coverage:.0%} of the reference (least {MIN_COVERAGE:.0%})": coverage < MIN_COVERAGE,
    }
    reasons = tuple(reason for reason, failed in tests.items() if failed)
    return Registration(transform, translation, rotation, before, after, coverage, name, reasons)


@contextmanager
def one_thread() -> Iterator[None]:
    """ITK on one thread: sums over several end in another order each time, so in other last digits."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def nmi(a: np.ndarray, b: np.ndarray, bins: int = 64) -> float:
    """Normalised mutual information (H(a) + H(b)) / H(a, b), 1 to 2 (Studholme et al. 1999)."""
    joint = np.histogram2d(np.ravel(a), np.ravel(b), bins=bins)[0]

    def entropy(counts: np.ndarray) -> float:
        p = counts[counts > 0] / counts.sum()
        return float(-(p * np.log(p)).sum())

    return (entropy(joint.sum(0)) + entropy(joint.sum(1))) / max(entropy(joint), 1e-12)


def _optimise(fixed, moving, mask, start, seed) -> sitk.Euler3DTransform:
    shrink, smoothing = _levels(float(np.mean(fixed.GetSpacing())))
    voxels = int(sitk.GetArrayViewFromImage(mask).sum())
    share = [min(MAX_SHARE, MAX_SAMPLES / max(1, voxels / n**3)) for n in shrink]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(share, seed % (2**31 - 1) + 1)
    method.SetMetricFixedMask(mask)
    # gradients at the samples only: whole gradient images took most of the time
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-4, numberOfIterations=200, gradientMagnitudeTolerance=1e-8
    )
    # a turn of 1 rad moves the head's voxels by this many mm; ITK's own estimate measures at the corners of the field of
    # view, which turns in steps too small and stops before the optimum
    lever = _rms_radius(mask)
    method.SetOptimizerScales([lever**2] * 3 + [1.0] * 3)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(smoothing)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(sitk.Euler3DTransform(start), inPlace=False)
    return sitk.Euler3DTransform(sitk.CompositeTransform(method.Execute(fixed, moving)).GetBackTransform())


def _around(mask: sitk.Image, margin_mm: float) -> tuple[list[int], list[int]]:
    """First voxel and size of the box around a mask, with a margin, within the image."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(mask, sitk.sitkUInt8))
    box = shape.GetBoundingBox(1)
    margins = [int(np.ceil(margin_mm / s)) for s in mask.GetSpacing()]
    first = [max(0, box[i] - margins[i]) for i in range(3)]
    last = [min(mask.GetSize()[i], box[i] + box[i + 3] + margins[i]) for i in range(3)]
    return first, [last[i] - first[i] for i in range(3)]


def _cut(image: sitk.Image, box: tuple[list[int], list[int]]) -> sitk.Image:
    return sitk.RegionOfInterest(image, box[1], box[0])


def _rounded(values) -> list[float]:
    return [round(float(value), 6) for value in values]


def _rms_radius(mask: sitk.Image) -> float:
    index = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0) * np.array(mask.GetSpacing()[::-1])
    return float(np.sqrt(((index - index.mean(0)) ** 2).sum(1).mean()))


def _levels(spacing: float) -> tuple[list[int], list[float]]:
    """Shrink factors and smoothing (mm) of the levels; a coarse grid has fewer."""
    levels: dict[int, float] = {}
    for level, sigma in zip(LEVEL_SPACING_MM, LEVEL_SMOOTHING_MM, strict=True):
        levels.setdefault(max(1, round(level / spacing)), sigma)
    return list(levels), list(levels.values())


def _centre(mask: sitk.Image) -> tuple[float, float, float]:
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(mask, sitk.sitkUInt8))
    return shape.GetCentroid(1)
