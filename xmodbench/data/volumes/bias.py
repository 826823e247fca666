"""N4: the smooth factor that coils and body lay over MR intensities (Tustison et al. 2010, IEEE TMI 29(6):1310)."""

from __future__ import annotations

import SimpleITK as sitk

SHRINK = 4
ITERATIONS = (50, 50, 50, 50)
# coarser than this the fitted field would follow anatomy
SMALLEST_SIDE = 16


def correct_bias(image: sitk.Image) -> sitk.Image:
    """Divide a volume (float32, raw values) by its bias field, fitted to a fourth of its resolution inside Otsu's mask.

    The field is scaled to mean 1 inside the mask, so that intensities keep their size.
    """
    shrink = [max(1, min(SHRINK, side // SMALLEST_SIDE)) for side in image.GetSize()]
    # N4 takes logarithms
    small = sitk.Maximum(sitk.Shrink(sitk.Cast(image, sitk.sitkFloat32), shrink), 1e-6)
    mask = sitk.OtsuThreshold(small, 0, 1)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    filter_.SetMaximumNumberOfIterations(ITERATIONS)
    filter_.Execute(small, mask)
    field = sitk.Exp(filter_.GetLogBiasFieldAsImage(image))
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(sitk.Resample(field, small), mask)
    return sitk.Cast(image, sitk.sitkFloat32) / sitk.Cast(field / statistics.GetMean(1), sitk.sitkFloat32)
