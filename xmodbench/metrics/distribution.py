"""Distances between the set of translations and the set of real targets of a direction.

FID and KID need pytorch-fid's Inception weights. Where these cannot be had their value is null with a reason; nothing
else is ever written under those names. The Fréchet-HOG distance needs no weights (and no torch) and is always there.

A distance is no mean over images. Its interval comes from a jackknife: the distance without each subject in turn, the
subject's translations and targets left out together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from skimage.feature import hog

from xmodbench.metrics.registry import DISTANCES

KID_SUBSETS = 100
FID_SIZES, FID_SUBSETS = 8, 5
"""Subset sizes, and subsets of each, from which FID is extrapolated to sets without end."""
MOST_GROUPS = 50
"""Of subjects, that are left out in turn: where there are more subjects, several go together."""
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


def distances(
    prediction: Images, target: Images, train: Images, weights: str | None, subjects: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """All distances of a direction.

    Args:
        prediction: translations of the test slices.
        target: the real targets of the same slices.
        train: real targets of the training subjects.
        weights: path or URL of pytorch-fid's Inception weights, or None.
        subjects: of the test slices; without them nothing is left out in turn.

    Returns:
        Metric id to ``value`` (or None), where it has one a one-line ``reason`` why there is none or what the value suffers
        from, ``real_to_real``: the same distance between the real test targets and as many real training targets, spread
        evenly, and ``without``: the values without each subject, or group of subjects, in the order of their names. The
        distance between real sets is for comparison. It bounds nothing: it is that of other subjects, while translations
        have those of the test set, so that a good method may lie below it.
    """
    reference = train[np.linspace(0, len(train) - 1, min(len(train), len(target))).round().astype(int)]
    if min(len(prediction), len(reference)) < 2:
        return {name: _missing("needs at least two test and two training images") for name in DISTANCES}
    kept = list(_without_each(subjects)) if subjects is not None else []
    features = [hog_features(images) for images in (prediction, target, reference)]
    found = {"standard.frechet_hog": _measured(frechet_distance, features, kept)}
    return _inception_distances(prediction, target, reference, weights, kept) | found


def _inception_distances(prediction: Images, target: Images, reference: Images, weights: str | None, kept: list):
    from xmodbench.metrics.weights import WeightsUnavailable, fid_weights

    try:
        path = fid_weights(weights)
    except WeightsUnavailable as unavailable:
        return {name: _missing(str(unavailable)) for name in ("paper.fid", "standard.fid_inf", "standard.kid")}
    from xmodbench.metrics.inception import inception_features

    features = [inception_features(images, path) for images in (prediction, target, reference)]
    found = {"paper.fid": _measured(frechet_distance, features, kept)}
    few = _missing("needs at least four images")
    if min(map(len, features)) < 4:
        return found | {"standard.fid_inf": few, "standard.kid": few}
    found["standard.fid_inf"] = _measured(fid_infinity, features, [])
    kernel = _measured(kernel_distance, features, [])
    if kept and min(len(rows) for rows in kept) >= 2:
        # over all pairs: which subsets are drawn would add its own noise to what a subject owes
        kernel["without"] = [squared_mmd(features[0][rows], features[1][rows]) for rows in kept]
    return found | {"standard.kid": kernel}


def fid_infinity(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance of sets without end, extrapolated from subsets (Chong and Forsyth 2020).

    The distance is taken of seeded subsets of half to all of the images, and a line in 1 / n put through the means of each
    size; its value at 0 is the answer, which noise can make negative. Where images are fewer than features the distance
    falls more slowly than that line, and part of the bias stays.

    Args:
        a: feature matrix ``[N, D]``, at least four rows.
        b: another; where both have as many rows, these belong together and are drawn together.
    """
    n, rng = min(len(a), len(b)), np.random.default_rng(0)
    sizes = np.unique(np.linspace(max(2, n // 2), n, FID_SIZES).astype(int))
    means = []
    for size in sizes:
        drawn = [_subsets(rng, len(a), len(b), size) for _ in range(1 if size == len(a) == len(b) else FID_SUBSETS)]
        means.append(np.mean([frechet_distance(a[rows], b[others]) for rows, others in drawn]))
    return float(np.polynomial.Polynomial.fit(1 / sizes, means, 1)(0.0))


def _subsets(rng: np.random.Generator, n: int, m: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rows = rng.permutation(n)[:size]
    return rows, rows if n == m else rng.permutation(m)[:size]


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


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """KID's unbiased squared distance over all pairs of rows of two matrices ``[N, D]``, at least two rows each."""
    within = [_kernel(x, x) for x in (a, b)]
    means = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in within]
    return float(sum(means) - 2 * _kernel(a, b).mean())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _without_each(subjects: Sequence[str]) -> Iterator[np.ndarray]:
    """Rows that remain without each subject in turn; none where there is but one subject."""
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) < 2:
        return
    for group in np.array_split(np.arange(len(names)), min(len(names), MOST_GROUPS)):
        yield np.flatnonzero(~np.isin(index, group))


def _measured(
    distance: Callable[[np.ndarray, np.ndarray], float], features: Sequence[np.ndarray], kept: list[np.ndarray]
) -> dict[str, Any]:
    prediction, target, reference = features
    found: dict[str, Any] = {"value": distance(prediction, target), "real_to_real": distance(reference, target)}
    if kept and min(len(rows) for rows in kept) >= 2:
        found["without"] = [distance(prediction[rows], target[rows]) for rows in kept]
    few, wide = min(map(len, (prediction, target, reference))), prediction.shape[1]
    if distance is not kernel_distance and few < wide:
        suffers = "biased upwards" if distance is frechet_distance else "part of the bias upwards remains"
        found["reason"] = f"{few} images for {wide} features: {suffers}, compare within this data set only"
    return found


def _missing(reason: str) -> dict[str, Any]:
    return {"value": None, "real_to_real": None, "reason": reason}
