"""Raw intensities to [0, 1]."""

from __future__ import annotations

import numpy as np

from xmodbench.data.volumes.settings import Normalisation
from xmodbench.errors import UserError

ZSCORE_RANGE = 3.0


Ends = tuple[float, float]
"""The raw values that become 0 and 1."""


def ends_of(volume: np.ndarray, mask: np.ndarray, how: Normalisation) -> Ends | None:
    """The raw values of a volume that become 0 and 1; None where each slice has its own (`slice_ends`).

    Args:
        volume: raw values [Z, Y, X].
        mask: bool [Z, Y, X], the head or body; percentiles and moments are taken inside it.

    Raises:
        UserError: the range to map from is empty.
    """
    if how.method == "minmax_slice":
        return None
    if how.method == "window":
        low, high = how.range
    elif how.method == "percentile":
        low, high = np.percentile(volume[mask], how.range)
    else:
        mean, sd = float(volume[mask].mean()), float(volume[mask].std())
        low, high = mean - ZSCORE_RANGE * sd, mean + ZSCORE_RANGE * sd
    if not high > low:
        raise UserError(f"nothing to normalise: the range {low:g} to {high:g} inside the head or body is empty")
    return low, high


def normalise(volume: np.ndarray, mask: np.ndarray, how: Normalisation) -> np.ndarray:
    """Map a volume to float32 in [0, 1], clipped; ``minmax_slice`` leaves the values as they are, see `stretch`.

    Args, Raises: as `ends_of`.
    """
    return scaled(volume, ends_of(volume, mask, how))


def scaled(volume: np.ndarray, ends: Ends | None) -> np.ndarray:
    """Raw values as float32, clipped to [0, 1] where there are ends."""
    if ends is None:
        return volume.astype(np.float32)
    low, high = ends
    return np.clip((volume - low) / (high - low), 0, 1).astype(np.float32)


def cut_off(volume: np.ndarray, mask: np.ndarray, ends: Ends) -> dict[str, float]:
    """Shares of the head's or body's voxels that lie below and above the ends, and are clipped: ``low`` and ``high``."""
    inside = volume[mask]
    return {"low": round(float((inside < ends[0]).mean()), 6), "high": round(float((inside > ends[1]).mean()), 6)}


def raw_values(image: np.ndarray, ends: Ends) -> np.ndarray:
    """Float32 raw values of an image in [0, 1]: the way back of `scaled` and `stretch`."""
    low, high = (float(end) for end in ends)
    return (low + image.astype(np.float64) * (high - low)).astype(np.float32)


def ends_columns(modality: str) -> tuple[str, str]:
    """The columns of ``slices.csv`` with the raw values that became 0 and 1."""
    return f"{modality}_low", f"{modality}_high"


def slice_ends(image: np.ndarray) -> Ends:
    """The raw values of one slice that `stretch` makes 0 and 1."""
    return float(image.min()), float(image.max())


def stretch(image: np.ndarray) -> np.ndarray:
    """One slice by its own range to [0, 1]; a constant slice becomes 0."""
    low, high = slice_ends(image)
    return (image - low) / (high - low) if high > low else np.zeros_like(image)
