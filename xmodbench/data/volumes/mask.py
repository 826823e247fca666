"""The mask of the head or body."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from xmodbench.errors import UserError

SMOOTHING_MM = 2.0
CLOSING_MM = 6.0
# the outline of a head needs no finer voxels, and morphology on them takes eight times as long
COARSE_MM = 2.0


def head_mask(image: sitk.Image, above: float | None = None, opening_mm: float = 0.0) -> sitk.Image:
    """Mask (uint8) of the head or body: the largest bright component, closed and with its holes filled slice by slice.

    Args:
        image: volume in raw values.
        above: threshold; by default half of Otsu's, so that dark tissue counts and the noise of the air does not.
        opening_mm: what is thinner than twice this in the plane of the slices is taken off first (a couch).

    Raises:
        UserError: nothing or everything is above the threshold.
    """
    coarse = sitk.BinShrink(image, [max(1, int(COARSE_MM / s)) for s in image.GetSpacing()])
    mask = _coarse_mask(coarse, above, opening_mm)
    return mask if coarse.GetSize() == image.GetSize() else _finer(mask, image)


def _coarse_mask(image: sitk.Image, above: float | None, opening_mm: float) -> sitk.Image:
    smooth = sitk.SmoothingRecursiveGaussian(image, [max(SMOOTHING_MM, s) for s in image.GetSpacing()])
    threshold = _dark_threshold(smooth) if above is None else above
    mask = sitk.Cast(smooth > threshold, sitk.sitkUInt8)
    share = float(sitk.GetArrayViewFromImage(mask).mean())
    if not 0.001 < share < 0.999:
        raise UserError(f"no head or body found: {share:.1%} of the volume is above {threshold:g}")
    if opening_mm:
        mask = sitk.BinaryMorphologicalOpening(
            mask, [*(max(1, round(opening_mm / s)) for s in image.GetSpacing()[:2]), 0]
        )
    mask = sitk.BinaryMorphologicalClosing(mask, [max(1, round(CLOSING_MM / s)) for s in image.GetSpacing()])
    components = sitk.RelabelComponent(sitk.ConnectedComponent(mask), sortByObjectSize=True)
    if not sitk.GetArrayViewFromImage(components).any():
        raise UserError(f"no head or body found: all that is above {threshold:g} is thinner than {2 * opening_mm:g} mm")
    return _filled(components == 1)


def _finer(mask: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """A mask on the voxels of `grid`, its outline halfway between coarse voxels; copied beyond their centres."""
    share = sitk.Resample(
        sitk.Cast(mask, sitk.sitkFloat32), grid, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, 0.0,
        sitk.sitkFloat32, True,
    )  # fmt: skip
    return sitk.Cast(share >= 0.5, sitk.sitkUInt8)


def _dark_threshold(smooth: sitk.Image) -> float:
    # the brightest voxels (fat, vessels) would pull Otsu's threshold above brain tissue
    top = float(np.percentile(sitk.GetArrayViewFromImage(smooth), 99))
    clamped = sitk.Clamp(smooth, sitk.sitkFloat32, upperBound=top)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(clamped)
    low = float(np.percentile(sitk.GetArrayViewFromImage(smooth), 1))
    return low + 0.5 * (otsu.GetThreshold() - low)


def _filled(mask: sitk.Image) -> sitk.Image:
    # air in the sinuses is open to the outside in 3-D but belongs to the head in most axial slices
    filled = sitk.Image(mask.GetSize(), sitk.sitkUInt8)
    filled.CopyInformation(mask)
    for k in range(mask.GetSize()[2]):
        filled[:, :, k] = sitk.BinaryFillhole(mask[:, :, k])
    return filled
