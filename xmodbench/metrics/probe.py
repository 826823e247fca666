"""The per-image metrics of two flat images, whose values follow from the formulas: a wrong constant shows there."""

from __future__ import annotations

import numpy as np

from xmodbench.metrics.paired import score_images

DARK, BRIGHT = 0.2, 0.6  # 51 and 153 of 255
SIDE = 32


def probe() -> dict[str, float]:
    """All per-image metrics of a translation that is `DARK` everywhere, as its source is, to a target that is `BRIGHT`."""
    dark, bright = (np.full((1, SIDE, SIDE), value, np.float32) for value in (DARK, BRIGHT))
    return {name: float(values[0]) for name, values in score_images(dark, bright, dark).items()}


def known() -> dict[str, float]:
    """What the formulas give there; of two flat images SSIM is its first factor, which depends on the range L alone."""
    grey, one = (255 * DARK, 255 * BRIGHT), (DARK, BRIGHT)
    squared = (BRIGHT - DARK) ** 2
    return {
        "paper.ssim_tar": _ssim(*grey, 2.0),
        "paper.ssim_src": 1.0,
        "paper.ssim_uint8": _ssim(*grey, 255.0),
        "paper.mse": 255.0**2 * squared,
        "paper.psnr": float(-10 * np.log10(squared)),
        "standard.ssim_tar": _ssim(*one, 1.0),
        "standard.ssim_src": 1.0,
        "standard.ssim_fg": _ssim(*one, 1.0),
        "standard.mse": squared,
        "standard.psnr": float(-10 * np.log10(squared)),
        "standard.psnr_fg": float(-10 * np.log10(squared)),
    }


def _ssim(a: float, b: float, data_range: float) -> float:
    c1 = (0.01 * data_range) ** 2
    return (2 * a * b + c1) / (a * a + b * b + c1)
