"""Which modality is which, by the intensities."""

from __future__ import annotations

import numpy as np

from xmodbench.data.pairing.information import BINS

AIR = 1
"""Grey levels below this, of 32, are air: it is most of a slice and the same in every modality."""


def contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How the histograms of two modalities differ, [bins]: its sign turns where they are exchanged.

    Args:
        a, b: grey levels of one subject's slices.
    """
    return histogram(a) - histogram(b)


def alike(x: np.ndarray, y: np.ndarray) -> float:
    """-1 (exchanged) to 1 (the same): the cosine of two differences of histograms; 0 where one is flat."""
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm else 0.0


def histogram(levels: np.ndarray) -> np.ndarray:
    """Shares [bins] of the grey levels of a modality's slices that are not air."""
    tissue = levels[levels >= AIR]
    # two levels together: tissues are broader than one
    counts = np.bincount(tissue // 2, minlength=BINS // 2)
    return counts / max(1, tissue.size)


def apart(x: np.ndarray, y: np.ndarray) -> float:
    """How far two histograms [bins] lie apart, in bins: the least that grey levels have to move to make one the other.

    Forgives that a tissue is a bin brighter or darker, where its share of every bin counts in full otherwise.
    """
    return float(np.abs(np.cumsum(x / max(x.sum(), 1e-9) - y / max(y.sum(), 1e-9))).sum())
