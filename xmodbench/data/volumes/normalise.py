"""Raw intensities to [0, 1]."""

from __future__ import annotations

import numpy as np

from xmodbench.data.volumes.settings import Normalisation
from xmodbench.errors import UserError

ZSCORE_RANGE = 3.0


def normalise(volume: np.ndarray, mask: np.ndarray, how: Normalisation) -> np.ndarray:
    """Map a volume to float32 in [0, 1], clipped.

    Args:
        volume: raw values [Z, Y, X].
        mask: bool [Z, Y, X], the head or body; percentiles and moments are taken inside it.
        how: the method; ``minmax_slice`` leaves the values as they are, see `stretch`.

    Raises:
        UserError: the range to map from is empty.
    """
    if how.method == "minmax_slice":
        return volume.astype(np.float32)
    if how.method == "window":
        low, high = how.range
    elif how.method == "percentile":
        low, high = np.percentile(volume[mask], how.range)
    else:
        mean, sd = float(volume[mask].mean()), float(volume[mask].std())
        low, high = mean - ZSCORE_RANGE * sd, mean + ZSCORE_RANGE * sd
    if not high > low:
        raise UserError(f"nothing to normalise: the range {low:g} to {high:g} inside the head or body is empty")
    return np.clip((volume - low) / (high - low), 0, 1).astype(np.float32)


def stretch(image: np.ndarray) -> np.ndarray:
    """One slice by its own range to [0, 1]; a constant slice becomes 0."""
    low, high = float(image.min()), float(image.max())
    return (image - low) / (high - low) if high > low else np.zeros_like(image)
