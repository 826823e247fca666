"""One subject: whether its slices fit better shifted by one, turned over, or in another order than as they are stored.

What counts is the normalised mutual information (NMI) of source and target, slice by slice against the same slice as it is
stored: a gain is the mean difference, relative to what is shared as stored (NMI - 1), with the share of slices that gain.
Both have to be high. Real anatomy is nearly symmetric and neighbouring slices are alike, so no single slice decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from xmodbench.data.pairing.contrast import contrast
from xmodbench.data.pairing.flips import flip_gains
from xmodbench.data.pairing.gain import TIE, Gain, gain, spread
from xmodbench.data.pairing.information import grey_levels, shared_information, slice_information

SAMPLE = 12
"""More slices of a subject than this say nothing new about it."""
COMPARED, SIDE = 6, 64
"""Slices, and pixels along their longer side at most, that are kept for the comparison with other subjects."""

Pair = tuple[str, str]
Beside = Mapping[str, Mapping[int, np.ndarray]]


@dataclass(frozen=True)
class Measured:
    """What is known of one pair of modalities (a, b) of one subject.

    ``nmi``: mean over slices, as stored. ``gains``: by what is done to b. ``in_order``: share of the subject's other slices
    of b that fit a slice of a worse than its own; None where there are too few. ``levels``: grey levels [k, h, w] of a few
    slices of a and b, made smaller. ``contrast``: how their intensities differ.
    """

    pair: Pair
    nmi: float
    gains: dict[str, Gain]
    in_order: float | None
    levels: tuple[np.ndarray, np.ndarray]
    contrast: np.ndarray


def sampled(count: int) -> np.ndarray:
    """Indices of the slices that are looked at."""
    return spread(count, SAMPLE)


def measure(images: Mapping[str, np.ndarray], beside: Beside | None = None) -> list[Measured]:
    """Look at every pair of modalities of one subject.

    Args:
        images: by modality, slices [N, H, W] in [0, 1] in the same order, the reference first.
        beside: by modality (not the reference) and by -1 and 1, the images of the volume's slices next to those of
            `sampled`, [n, H, W]; where slices are taken apart from each other, they are nearer than the next one.
    """
    levels = {name: grey_levels(stack) for name, stack in images.items()}
    return [_pair(levels, a, b, (beside or {}).get(b, {})) for a, b in combinations(images, 2)]


def _pair(levels: Mapping[str, np.ndarray], first: str, second: str, beside: Mapping[int, np.ndarray]) -> Measured:
    a, b = levels[first], levels[second]
    chosen = sampled(len(a))
    stored = slice_information(a[chosen], b[chosen])
    gains = {f"slice {step:+d}": gain(*_shifted(a, b, chosen, stored, step)) for step in (-1, 1) if len(a) > 1}
    for step, stack in beside.items():
        gains[f"volume {step:+d}"] = gain(stored, slice_information(a[chosen], grey_levels(stack)))
    if len(a) > 1:
        gains["reversed"] = gain(stored, slice_information(a[chosen], b[::-1][chosen]))
    gains |= flip_gains(a[chosen], b[chosen], stored)
    step = -(-max(a.shape[1:]) // SIDE)
    small = a[chosen, ::step, ::step], b[chosen, ::step, ::step]
    few = spread(len(chosen), COMPARED)
    return Measured(
        pair=(first, second),
        nmi=float(stored.mean()),
        gains=gains,
        in_order=_in_order(*small),
        levels=(small[0][few], small[1][few]),
        contrast=contrast(a[chosen], b[chosen]),
    )


def _shifted(a, b, chosen: np.ndarray, stored: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """NMI as stored and with b's neighbours in the store, of the slices that have one."""
    there = (chosen + step >= 0) & (chosen + step < len(a))
    return stored[there], slice_information(a[chosen[there]], b[chosen[there] + step])


def _in_order(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 3:
        return None
    shared = np.array([[shared_information(x, y) for y in b] for x in a])
    better = shared > np.diag(shared)[:, None] + TIE
    return 1 - float(better.sum() / (len(a) * (len(a) - 1)))
