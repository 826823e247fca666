"""Identity cards of the field's own numbers: those of slices, those of whole volumes, and those that are asked for."""

from __future__ import annotations

from xmodbench.metrics.registry import PSNR_CAP, Metric

FIELD, VOLUME = "field", "volume"
"""Their families, beside ``paper``, ``standard`` and ``own``."""

_MASK = "inside the body (of the real images: CT above -500 HU, else what is above 0.05; holes filled)"
_RANGE = "-1024 to 3071 HU where the target is a CT in HU, else the range that the scan was mapped from"
_BLUR = "Blur: the mean of all that may be true has the least error."
_FLAT = "Air and soft tissue far outweigh bone; a CT cut off at its window has less to get wrong."

_SLICES = (
    Metric(
        "field.mae_hu", "MAE", f"Mean absolute error {_MASK}, as SynthRAD2025 takes it, by slice.", False, (0.0, 4095.0),
        unit="HU", digits=1, misled_by=f"{_BLUR} {_FLAT}",
    ),
    Metric(
        "field.mae_percent", "MAE", f"Mean absolute error {_MASK}, in per cent of the range that the scan was mapped from.",
        False, (0.0, 100.0), unit="% of range", digits=2,
        misled_by=f"{_BLUR} A range between percentiles is each scan's own, so it is no physical unit.",
    ),
    Metric(
        "field.psnr", "PSNR (body)", f"PSNR {_MASK}, as SynthRAD2025 takes it: the peak is the range {_RANGE}.", True,
        (0.0, PSNR_CAP), unit="dB", digits=2,
        misled_by=f"{_BLUR} The peak of 4095 HU adds decibels: only numbers with this peak compare.",
    ),
    Metric(
        "field.ms_ssim", "MS-SSIM (body)",
        f"Multi-scale structural similarity {_MASK}, with SynthRAD2025's formula: uniform 7 x 7 window, sample covariance, "
        f"luminance, contrast and structure (none below 0) with a scale's weight each, masked mean by scale; range {_RANGE}."
        " Windows lie in the slice. Five scales need 97 pixels: with fewer pixels fewer scales, weights made to sum to 1.",
        True, (0.0, 1.0),
        misled_by="Coarse agreement: small structures weigh 4 %. In a range of 4095 HU soft tissue has hardly any contrast.",
    ),
    Metric(
        "field.edges", "New edges",
        "F1 of edges of the target that a copy of the source would not have, inside the body: where smoothed greys (sd 1 "
        "pixel) rise most steeply, among the target's steepest fifth; met by an edge at most a pixel off that rises the "
        "same way (within 45 degrees). Edges that source and target share count for nothing, edges that the target lacks "
        "as wrong: a copy of the source has 0.",
        True, (0.0, 1.0),
        misled_by="Where source and target lie more than a pixel apart, shared edges count as new. Noise near the steepness "
        "asked for meets some edges by chance.",
    ),
)  # fmt: skip
_VOLUMES = (
    Metric(
        "volume.mae_hu", "MAE", f"Mean absolute error of a subject's slices together {_MASK}.", False, (0.0, 4095.0),
        unit="HU", level="volume", digits=1, misled_by=f"{_BLUR} {_FLAT}",
    ),
    Metric(
        "volume.mae_percent", "MAE", f"Mean absolute error of a subject's slices together {_MASK}, in per cent of the range "
        "that the scan was mapped from.", False, (0.0, 100.0), unit="% of range", level="volume", digits=2, misled_by=_BLUR,
    ),
    Metric(
        "volume.psnr", "PSNR (body)", f"PSNR of a subject's slices together {_MASK}; the peak is the range {_RANGE}.", True,
        (0.0, PSNR_CAP), unit="dB", level="volume", digits=2, misled_by=_BLUR,
    ),
    Metric(
        "volume.ms_ssim", "MS-SSIM (body)",
        "The same multi-scale structural similarity, by scale averaged over the body's voxels in all slices of a subject. "
        "Windows lie in the slices, which may be far apart.", True, (0.0, 1.0), level="volume",
        misled_by="As of slices; and it sees nothing of how slices fit each other.",
    ),
    Metric(
        "volume.changes", "Slice-to-slice error",
        "From one slice to the next of a subject, inside the bodies of both: mean absolute difference between the "
        "translation's change and the target's, as a share of the target's mean absolute change. 0: changes as the target "
        "does; 1: as wrong as one image for all slices. What is wrong by the same amount in all slices cancels.",
        False, (0.0, None), level="volume", digits=2,
        misled_by="One image for all slices has 1, and a method that makes slices one by one often more: blur is rewarded. "
        "The further slices are apart, the less it says.",
    ),
    Metric(
        "volume.dice_body", "Dice, body",
        "Overlap (Dice) of the translation's outline with the target's: above -500 HU, or above half of Otsu's threshold of "
        "the real slices; largest part, holes filled.", True, (0.0, 1.0), level="volume",
        misled_by="Nearly any image with the right outline, the source's copy among them.",
    ),
    Metric(
        "volume.dice_bone", "Dice, bone", "Overlap (Dice) of what is above 250 HU inside the body.", True, (0.0, 1.0),
        level="volume", misled_by="Bright contrast agent and metal count as bone; thin bone lost to blur weighs little.",
    ),
    Metric(
        "volume.dice_tissue", "Dice, tissue classes",
        "Mean overlap (Dice) of three classes from dark to bright in the inner four fifths of the body: those of a mixture "
        "of three Gaussians fitted to the target's values; the translation is divided at the same values. Of a head's T1 "
        "these are, roughly, fluid, grey and white matter.",
        True, (0.0, 1.0), level="volume",
        misled_by="A copy of a source whose tissues have like values. Where values do not fall into three classes, their "
        "borders are arbitrary, though the same for all methods.",
    ),
)  # fmt: skip
_ASKED_FOR = (
    Metric(
        "volume.ms_ssim_3d", "MS-SSIM (3-D)",
        "Multi-scale structural similarity exactly as SynthRAD2025 computes it: cubic windows of 7, five scales, volumes of "
        "fewer than 97 voxels each way padded with their outermost. On the slices' own grid.", True, (0.0, 1.0),
        level="volume", misled_by="Of few slices most of the padded volume is copies of the first and the last.",
    ),
    Metric(
        "field.lpips", "LPIPS",
        "Learned perceptual image patch similarity (Zhang et al. 2018), AlexNet, of grey images copied to RGB, with "
        "ImageNet weights that are given.", False, (0.0, None), digits=4,
        misled_by="Looks like photographs are what it knows; it does not know anatomy.",
    ),
    Metric(
        "volume.dice_organs", "Dice, organs",
        "Mean overlap (Dice) of the organs that TotalSegmentator (fast) finds in the target with those it finds in the "
        "translation, each organ weighing the same.", True, (0.0, 1.0), level="volume",
        misled_by="What the network makes out of poor images, too: it completes shapes by what it has learnt.",
    ),
)  # fmt: skip

ALWAYS: dict[str, Metric] = {metric.id: metric for metric in (*_SLICES, *_VOLUMES)}
EXTRAS: dict[str, Metric] = {
    "ms_ssim_3d": _ASKED_FOR[0],
    "lpips": _ASKED_FOR[1],
    "totalsegmentator": _ASKED_FOR[2],
}
"""By what ``scoring.extra`` calls them."""
