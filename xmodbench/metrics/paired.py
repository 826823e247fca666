"""Per-image metrics, in the paper's and in the standard definition.

Images are float32 ``[N, H, W]`` in ``[0, 1]``; every function returns float64 ``[N]``. The definitions are written out
in `xmodbench.metrics.registry`. Where an image is constant the formulas' 0/0 have stated values, never NaN.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes
from scipy.special import entr
from skimage.metrics import structural_similarity

from xmodbench.errors import UserError
from xmodbench.metrics.registry import METRICS, PAIRED, PSNR_CAP

FOREGROUND_THRESHOLD = 0.05
MI_BINS = 64
SMALLEST = 11  # pixels: the Gaussian SSIM window


def to_8bit(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as 8-bit grey levels, rounded to the nearest."""
    return np.round(np.asarray(images, np.float64) * 255).astype(np.uint8)


def ssim_skimage019_float(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of 8-bit images handled as floats 0..255 with L = 2 (scikit-image 0.19's silent default for floats).

    In double precision: with L = 2 the stabilising constants are 4e-4 and 3.6e-3 against squares of up to 65025.
    """
    pairs = zip(to_8bit(a).astype(np.float64), to_8bit(b).astype(np.float64), strict=True)
    return np.array([structural_similarity(x, y, win_size=7, data_range=2.0) for x, y in pairs])


def ssim_uint8(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of 8-bit images, 7 x 7 uniform window, sample covariance, L = 255."""
    pairs = zip(to_8bit(a), to_8bit(b), strict=True)
    return np.array([structural_similarity(x, y, win_size=7, data_range=255) for x, y in pairs])


def ssim_gaussian(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """SSIM of floats with L = 1 and a Gaussian window (11 x 11, sd 1.5): the mean, and the mean over ``mask`` [N, H, W].

    The mean leaves out a border of half a window. Where a mask is empty, its mean is the whole image's.
    """
    whole, inside = [], []
    for index, (x, y) in enumerate(zip(_double(a), _double(b), strict=True)):
        mean, field = structural_similarity(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
        )
        whole.append(mean)
        if mask is not None:
            inside.append(field[mask[index]].mean() if mask[index].any() else mean)
    return np.array(whole), None if mask is None else np.array(inside)


def mse(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mean squared difference, over ``mask`` if given (over the whole image where the mask is empty)."""
    squared = np.square(_double(a) - _double(b))
    if mask is None:
        return squared.mean(axis=(1, 2))
    weight = np.where(mask.any(axis=(1, 2), keepdims=True), mask, True)
    return (squared * weight).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))


def psnr(mean_squared: np.ndarray, data_range: float) -> np.ndarray:
    """PSNR in dB from per-image mean squared errors, at most `PSNR_CAP` (identical images would be infinite)."""
    floor = data_range**2 / 10 ** (PSNR_CAP / 10)
    return np.minimum(PSNR_CAP, 10 * np.log10(data_range**2 / np.maximum(mean_squared, floor)))


def nmi_100(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """scikit-image's normalised mutual information of 8-bit images, 100 bins, in [1, 2]; 1 where both are constant."""

    def one(x: np.ndarray, y: np.ndarray) -> float:
        if x.min() == x.max() and y.min() == y.max():
            return 1.0
        return float(np.clip(normalized_mutual_information(x, y, bins=100), 1.0, 2.0))

    return np.array([one(x, y) for x, y in zip(to_8bit(a), to_8bit(b), strict=True)])


def normalized_mutual_information(x: np.ndarray, y: np.ndarray, bins: int) -> float:
    """That of `skimage.metrics` for two images, in [1, 2], bit for bit.

    Importing that one brings all of `scipy.stats` along for its entropy, which takes longer than most scores do.
    """
    joint, _ = np.histogramdd([x.ravel(), y.ravel()], bins=bins, density=True)
    shares = [weights / weights.sum() for weights in (joint.sum(0), joint.sum(1), joint.ravel())]
    own, other, both = (entr(share).sum() for share in shares)
    return float((own + other) / both)


def foreground(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Where there is anatomy: target or source above 0.05, holes filled. It never depends on a translation."""
    above = np.maximum(target, source) > FOREGROUND_THRESHOLD
    return np.stack([binary_fill_holes(image) for image in above])


def mutual_information(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MI in nats and NMI in [1, 2] over ``mask``, 64 fixed bins over [0, 1].

    Where the mask is empty or both images are constant in it there is nothing to share: MI 0, NMI 1.
    """
    bins_a, bins_b = _binned(a), _binned(b)
    mi, nmi = np.zeros(len(bins_a)), np.ones(len(bins_a))
    for index, inside in enumerate(mask):
        codes = bins_a[index][inside] * MI_BINS + bins_b[index][inside]
        joint = np.bincount(codes, minlength=MI_BINS**2).reshape(MI_BINS, MI_BINS)
        h_a, h_b, h_ab = (_entropy(counts) for counts in (joint.sum(1), joint.sum(0), joint.ravel()))
        mi[index] = max(0.0, h_a + h_b - h_ab)
        if h_ab > 0:
            nmi[index] = np.clip((h_a + h_b) / h_ab, 1.0, 2.0)
    return mi, nmi


def score_images(prediction: np.ndarray, target: np.ndarray, source: np.ndarray) -> dict[str, np.ndarray]:
    """All per-image metrics of translations: metric id to float64 ``[N]``.

    Raises:
        UserError: there are no images, the shapes differ, the images are too small, a value is not finite or outside
            [0, 1], or a score is outside its metric's bounds.
    """
    check_images(prediction, target, source)
    mask = foreground(target, source)
    paper_mse = mse(to_8bit(prediction), to_8bit(target))
    standard_mse = mse(prediction, target)
    ssim_tar, ssim_fg = ssim_gaussian(prediction, target, mask)
    assert ssim_fg is not None  # as there is a mask
    mi, nmi = mutual_information(prediction, target, mask)
    scores = {
        "paper.ssim_tar": ssim_skimage019_float(prediction, target),
        "paper.ssim_src": ssim_skimage019_float(prediction, source),
        "paper.mse": paper_mse,
        "paper.mi": nmi_100(prediction, target),
        "paper.psnr": psnr(paper_mse, 255.0),
        "paper.ssim_uint8": ssim_uint8(prediction, target),
        "standard.ssim_tar": ssim_tar,
        "standard.ssim_src": ssim_gaussian(prediction, source)[0],
        "standard.ssim_fg": ssim_fg,
        "standard.mse": standard_mse,
        "standard.mi": mi,
        "standard.nmi": nmi,
        "standard.psnr": psnr(standard_mse, 1.0),
        "standard.psnr_fg": psnr(mse(prediction, target, mask), 1.0),
    }
    for name in PAIRED:
        if problem := next(filter(None, map(METRICS[name].problem, scores[name].tolist())), None):
            raise UserError(problem, "scoring", "this is a fault of the program: report it with the two images")
    return {name: scores[name] for name in PAIRED}


def check_images(prediction: np.ndarray, target: np.ndarray, source: np.ndarray) -> None:
    """Raise UserError unless all are ``[N, H, W]`` of one shape, at least 11 pixels wide, finite and in [0, 1]."""
    images = {"translation": prediction, "target": target, "source": source}
    shapes = {name: array.shape for name, array in images.items()}
    if len(set(shapes.values())) != 1 or prediction.ndim != 3:
        raise UserError(f"images differ in shape or are no stacks: {shapes}", "scoring")
    if not len(prediction):
        raise UserError("there are no images", "scoring")
    if min(prediction.shape[1:]) < SMALLEST:
        raise UserError(f"images of {prediction.shape[1:]} pixels are too small (at least {SMALLEST})", "scoring")
    for name, array in images.items():
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise UserError(f"the {name} has values that are not finite or outside [0, 1]", "scoring")


def _double(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, np.float64)


def _binned(images: np.ndarray) -> np.ndarray:
    return np.minimum((_double(images) * MI_BINS).astype(np.int64), MI_BINS - 1)


def _entropy(counts: np.ndarray) -> float:
    """Entropy in nats of a histogram; 0 for an empty one."""
    total = counts.sum()
    if total == 0:
        return 0.0
    shares = counts[counts > 0] / total
    return float(-(shares * np.log(shares)).sum())
