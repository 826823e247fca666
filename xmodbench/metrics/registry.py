"""Every metric's identity card: what the table, the report and the documentation say about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

PROTOCOL = 2
"""Version of what the numbers mean: raised whenever a definition, a split's rule or a weighting changes so that numbers of
before and after do not compare. It stands in every table; scores of another protocol are not shown."""

PSNR_CAP = 100.0
"""PSNR in dB given to identical images, where the formula is infinite, so that means stay finite. An 8-bit image of
less than 390 x 390 pixels that differs in a single grey level lies below it."""


ROUNDING = 1e-6
"""So far beyond a bound a value may lie: sums over windows of squares of up to 65025 are rounded."""


@dataclass(frozen=True)
class Metric:
    """One metric in one definition.

    ``bounds`` are the values it can take (None: no bound). ``level`` says what a value belongs to: an image, a subject's
    volume, or a whole direction (a distance between two sets of images, which has no per-image value).
    ``misled_by`` says what it rewards without being better translation. ``published`` is the column of the paper's Table 1
    it stands beside, ``doubt`` why the paper may mean something else.
    """

    id: str
    label: str
    definition: str
    higher_is_better: bool
    bounds: tuple[float | None, float | None]
    unit: str = ""
    level: Literal["image", "volume", "direction"] = "image"
    published: str | None = None
    doubt: str | None = None
    digits: int = 3
    headline: bool = True  # one of the columns of the readable tables
    ranked: bool = True  # whether being better in it means being a better translation
    misled_by: str = ""

    @property
    def family(self) -> str:
        """``paper`` or ``standard``."""
        return self.id.split(".")[0]

    @property
    def arrow(self) -> str:
        """Up or down: where better is."""
        return "↑" if self.higher_is_better else "↓"

    def problem(self, value: object) -> str | None:
        """What is wrong with a value that is no finite number within the bounds; None where nothing is."""
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            return f"{self.id} is {value!r}, which is not finite"
        low, high = self.bounds
        if (low is not None and value < low - ROUNDING) or (high is not None and value > high + ROUNDING):
            ends = ["" if end is None else f"{end:g}" for end in self.bounds]
            return f"{self.id} is {value:g}, outside its bounds [{', '.join(ends)}]"
        return None


_SSIM_2004 = "Wang et al. 2004, K1 = 0.01, K2 = 0.03"
_NO_SSIM = "no usual definition gives values as near to 0 for aligned pairs"
_FOREGROUND = "foreground: target or source above 0.05, holes filled"

_ALL = (
    Metric(
        "paper.ssim_tar",
        "SSIM-Tar",
        f"Structural similarity with the target ({_SSIM_2004}): 8-bit images as floats 0..255, 7 x 7 uniform window, "
        "sample covariance, L = 2 (what scikit-image 0.19 takes for floats). With constants this small a noisy "
        "background scores 0 and opposite contrast goes negative, as in the paper's table.",
        True,
        (-1.0, 1.0),
        published="ssim_tar",
        doubt=_NO_SSIM,
    ),
    Metric(
        "paper.ssim_src",
        "SSIM-Src",
        "The same structural similarity with the source: how much of the source's look was kept. A copy of the source "
        "has 1, so more is not better translation.",
        True,
        (-1.0, 1.0),
        published="ssim_src",
        doubt=_NO_SSIM,
        ranked=False,
    ),
    Metric(
        "paper.mse",
        "MSE",
        "Mean squared error with the target, 8-bit grey levels.",
        False,
        (0.0, 65025.0),
        unit="grey levels²",
        published="mse",
        digits=1,
    ),
    Metric(
        "paper.mi",
        "MI",
        "Normalised mutual information with the target, (H(A) + H(B)) / H(A, B) (Studholme 1999) as in scikit-image: "
        "100 bins over each 8-bit image's own range. The paper calls it MI; its values fit this definition. 1: "
        "independent (also where both images are constant), 2: each determines the other.",
        True,
        (1.0, 2.0),
        published="mi",
        doubt="values of 1.03 to 1.19 fit normalised mutual information best; the paper names none",
    ),
    Metric(
        "paper.psnr",
        "PSNR",
        f"Peak signal-to-noise ratio with the target per image, L = 255, then averaged; {PSNR_CAP:g} dB for identical "
        "images.",
        True,
        (0.0, PSNR_CAP),
        unit="dB",
        published="psnr",
        digits=2,
    ),
    Metric(
        "paper.fid",
        "FID",
        "Fréchet distance between translations and real targets in pytorch-fid's Inception-v3 features (2048, pool3; "
        "8-bit grey copied to RGB, bilinear to 299). Biased upwards where images are fewer than features: compare only "
        "within one data set.",
        False,
        (0.0, None),
        level="direction",
        published="fid",
        doubt="neither the program nor what was done to grey images is said",
        digits=1,
    ),
    Metric(
        "paper.ssim_uint8",
        "SSIM (8-bit)",
        f"Structural similarity with the target ({_SSIM_2004}): 8-bit images, 7 x 7 uniform window, sample "
        "covariance, L = 255.",
        True,
        (-1.0, 1.0),
        headline=False,
    ),
    Metric(
        "standard.ssim_tar",
        "SSIM-Tar",
        f"Structural similarity with the target ({_SSIM_2004}): floats, L = 1, Gaussian window 11 x 11 of sd 1.5, "
        "population covariance, border of 5 pixels left out.",
        True,
        (-1.0, 1.0),
    ),
    Metric(
        "standard.ssim_src",
        "SSIM-Src",
        "The same structural similarity with the source. A copy of the source has 1, so more is not better translation.",
        True,
        (-1.0, 1.0),
        ranked=False,
    ),
    Metric(
        "standard.ssim_fg",
        "SSIM-Tar (foreground)",
        f"Mean of the same structural similarity map over the foreground ({_FOREGROUND}).",
        True,
        (-1.0, 1.0),
        headline=False,
    ),
    Metric("standard.mse", "MSE", "Mean squared error with the target, floats in [0, 1].", False, (0.0, 1.0), digits=4),
    Metric(
        "standard.mi",
        "MI",
        f"Mutual information with the target in nats, 64 fixed bins over [0, 1], foreground only ({_FOREGROUND}). "
        "Estimated from one slice it is biased upwards; the shuffled control shows by how much.",
        True,
        (0.0, None),
        unit="nats",
    ),
    Metric(
        "standard.nmi",
        "NMI",
        "Normalised mutual information (H(A) + H(B)) / H(A, B) of the same histogram; 1: independent.",
        True,
        (1.0, 2.0),
    ),
    Metric(
        "standard.psnr",
        "PSNR",
        f"Peak signal-to-noise ratio with the target per image, floats, L = 1; at most {PSNR_CAP:g} dB.",
        True,
        (0.0, PSNR_CAP),
        unit="dB",
        digits=2,
    ),
    Metric(
        "standard.psnr_fg",
        "PSNR (foreground)",
        f"The same over the foreground only ({_FOREGROUND}).",
        True,
        (0.0, PSNR_CAP),
        unit="dB",
        digits=2,
        headline=False,
    ),
    Metric(
        "standard.fid_inf",
        "FID∞",
        "The same distance extrapolated to sets without end (Chong and Forsyth 2020): a line in 1/n through its means over "
        "subsets of half to all slices, read at 0. FID less this estimates FID's bias, from below where images are fewer "
        "than features. Noise can make it negative.",
        False,
        (None, None),
        level="direction",
        digits=1,
    ),
    Metric(
        "standard.kid",
        "KID",
        "Kernel distance (unbiased cubic-polynomial MMD², Binkowski et al. 2018) in the same Inception features, mean "
        "over 100 subsets of min(50, n/2) images.",
        False,
        (None, None),
        level="direction",
        digits=4,
    ),
    Metric(
        "standard.frechet_hog",
        "Fréchet-HOG (proxy, not FID)",
        "Fréchet distance between translations and real targets in features that need no weights: histograms of "
        "oriented gradients (8 x 8 cells, 8 orientations) and of grey levels (32 bins). A proxy for realism where the "
        "Inception weights are not at hand; its numbers are not FIDs.",
        False,
        (0.0, None),
        level="direction",
        digits=4,
    ),
)

_MISLED_BY = {
    "paper.ssim_tar": "Noise-free backgrounds: where both images are 0 it is 1. With L = 2 it hardly tolerates noise.",
    "paper.ssim_src": "Copying: it measures nothing else.",
    "paper.mse": "Blur: the mean of all that may be true has the least error. Large dark backgrounds lower it.",
    "paper.mi": "Any one-to-one change of grey values, right or wrong: a copy of an aligned source scores well.",
    "paper.psnr": "As MSE: blur, and large dark backgrounds.",
    "paper.fid": "Real-looking images of anybody: shuffled targets have 0. Its features know photographs, not anatomy.",
    "paper.ssim_uint8": "Noise-free backgrounds, blur, and any aligned anatomy: a copy of the source scores well.",
    "standard.ssim_tar": "Noise-free backgrounds, blur, and any aligned anatomy: a copy of the source scores well.",
    "standard.ssim_src": "Copying: it measures nothing else.",
    "standard.ssim_fg": "Blur, and any aligned anatomy.",
    "standard.mse": "Blur: the mean of all that may be true has the least error. Large dark backgrounds lower it.",
    "standard.mi": "Any one-to-one change of grey values, right or wrong: a copy of an aligned source scores well.",
    "standard.nmi": "As MI.",
    "standard.psnr": "As MSE: blur, and large dark backgrounds.",
    "standard.psnr_fg": "Blur.",
    "standard.fid_inf": "As FID; real-looking images of anybody. Of few images the line through subsets is uncertain.",
    "standard.kid": "As FID: real-looking images of anybody.",
    "standard.frechet_hog": "Real-looking images of anybody; only outlines and grey levels count.",
}
METRICS: dict[str, Metric] = {metric.id: replace(metric, misled_by=_MISLED_BY[metric.id]) for metric in _ALL}
PAIRED = tuple(metric.id for metric in _ALL if metric.level == "image")
DISTANCES = tuple(metric.id for metric in _ALL if metric.level == "direction")


def family(name: str, headline: bool = True) -> list[Metric]:
    """The metrics of one definition, in the order of its table."""
    return [metric for metric in METRICS.values() if metric.family == name and (metric.headline or not headline)]
