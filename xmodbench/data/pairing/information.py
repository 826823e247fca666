"""How much two images tell about each other, from histograms of fixed bins."""

from __future__ import annotations

import numpy as np

BINS = 32


def grey_levels(images: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bins of values in [0, 1], uint8 (at most 256 bins) of the same shape; values outside are in the outer bins."""
    return np.clip(images * bins, 0, bins - 1).astype(np.uint8)


def shared_information(a: np.ndarray, b: np.ndarray, bins: int = BINS) -> float:
    """Normalised mutual information (H(a) + H(b)) / H(a, b), 1 to 2 (Studholme et al. 1999), of two arrays of grey levels.

    1 where both are constant: they have nothing to share.
    """
    codes = a.astype(np.int32) * bins + b
    joint = np.bincount(codes.ravel(), minlength=bins * bins).reshape(bins, bins) / codes.size

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    both = entropy(joint)
    return (entropy(joint.sum(0)) + entropy(joint.sum(1))) / both if both else 1.0


def slice_information(a: np.ndarray, b: np.ndarray, bins: int = BINS) -> np.ndarray:
    """`shared_information` of each slice of two stacks of grey levels [N, H, W]: float64 [N]."""
    return np.array([shared_information(x, y, bins) for x, y in zip(a, b, strict=True)])


def mutual_information(a: np.ndarray, b: np.ndarray, bins: int = BINS) -> float:
    """`shared_information` of images in [0, 1]."""
    return shared_information(grey_levels(a, bins), grey_levels(b, bins), bins)
