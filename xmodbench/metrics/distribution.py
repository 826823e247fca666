"""Distances between the set of translations and the set of real targets of a direction.

FID and KID need pytorch-fid's Inception weights. Where these cannot be had their value is null with a reason; nothing
else is ever written under those names. The Fréchet-HOG distance needs no weights (and no torch) and is always there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.feature import hog

from xmodbench.metrics.registry import DISTANCES

KID_SUBSETS = 100
Images = np.ndarray  # float32 [N, H, W] in [0, 1]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of Gaussians fitted to two feature matrices ``[N, D]`` (unbiased covariances).

    The trace of the covariances' geometric mean is the nuclear norm of A Bᵀ / sqrt((n-1)(m-1)) with A, B centred:
    no matrix square root, no complex parts, and exact where there are fewer images than features. Where there are
    more, A and B are first replaced by their triangular factors, which leaves the norm as it is.

    Raises:
        ValueError: a matrix has less than two rows.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) < 2:
        raise ValueError("a Fréchet distance needs at least two images in each set")
    shift = a.mean(0) - b.mean(0)
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    small_a, small_b = (_triangular(x) if len(x) > x.shape[1] else x for x in centred)
    cross = np.linalg.svd(small_a @ small_b.T, compute_uv=False).sum()
    traces = sum(float(np.square(x).sum()) for x in centred)
    # mathematically not negative; equal sets end at rounding level
    return max(0.0, float(shift @ shift + traces - 2 * cross))


def _triangular(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.qr(matrix, mode="r")  # type: ignore[return-value]  # NumPy's types know the default mode alone


def hog_features(images: Images) -> np.ndarray:
    """Features ``[N, 1600]`` that need no weights: oriented gradients in 8 x 8 cells, and the grey-level histogram.

    Each of the two parts has Euclidean length of about 1, so shapes and grey levels weigh the same.
    """
    height, width = images.shape[1:]
    cell = (max(1, height // 8), max(1, width // 8))
    rows = []
    for image in np.asarray(images, np.float64):
        # 8 cells each way whatever the size: what is left over at the lower and right border is cut off
        cropped = image[: 8 * cell[0], : 8 * cell[1]]
        gradients = hog(cropped, orientations=8, pixels_per_cell=cell, cells_per_block=(2, 2))
        levels = np.histogram(image, bins=32, range=(0.0, 1.0))[0] / image.size
        rows.append(np.concatenate([gradients / 7, np.sqrt(levels)]))  # 7 x 7 blocks of length <= 1; Hellinger
    return np.stack(rows)


def distances(prediction: Images, target: Images, train: Images, weights: str | None) -> dict[str, dict[str, Any]]:
    """All distances of a direction.

    Args:
        prediction: translations of the test slices.
        target: the real targets of the same slices.
        train: real targets of the training subjects.
        weights: path or URL of pytorch-fid's Inception weights, or None.

    Returns:
        Metric id to ``value`` (or None), where it has one a one-line ``reason`` why there is none or what the value suffers
        from, and ``floor``: the same distance between the real test targets and as many real training targets, spread
        evenly: what a perfect method could be expected to reach.
    """
    reference = train[np.linspace(0, len(train) - 1, min(len(train), len(target))).round().astype(int)]
    if min(len(prediction), len(reference)) < 2:
        return {name: _missing("needs at least two test and two training images") for name in DISTANCES}
    found = {"standard.frechet_hog": _with_floor(frechet_distance, map(hog_features, (prediction, target, reference)))}
    return _inception_distances(prediction, target, reference, weights) | found


def _inception_distances(prediction: Images, target: Images, reference: Images, weights: str | None):
    from xmodbench.metrics.weights import WeightsUnavailable, fid_weights

    try:
        path = fid_weights(weights)
    except WeightsUnavailable as unavailable:
        return {name: _missing(str(unavailable)) for name in ("paper.fid", "standard.kid")}
    from xmodbench.metrics.inception import inception_features

    features = [inception_features(images, path) for images in (prediction, target, reference)]
    found = {"paper.fid": _with_floor(frechet_distance, features)}
    if min(map(len, features)) < 4:
        return found | {"standard.kid": _missing("needs at least four images")}
    return found | {"standard.kid": _with_floor(kernel_distance, features)}


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KID of two feature matrices ``[N, D]``: mean over 100 seeded subsets of min(50, n/2) images."""
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(50, len(a) // 2, len(b) // 2)
    metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=KID_SUBSETS, subset_size=size)
    metric.set_dtype(torch.float64)
    metric.update(torch.as_tensor(a, dtype=torch.float64), real=True)
    metric.update(torch.as_tensor(b, dtype=torch.float64), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(metric.compute()[0])


def _with_floor(distance, features) -> dict[str, Any]:
    prediction, target, reference = features
    found = {"value": distance(prediction, target), "floor": distance(reference, target)}
    few, wide = min(map(len, (prediction, target, reference))), prediction.shape[1]
    if distance is frechet_distance and few < wide:
        found["reason"] = f"{few} images for {wide} features: biased upwards, compare within this data set only"
    return found


def _missing(reason: str) -> dict[str, Any]:
    return {"value": None, "floor": None, "reason": reason}
