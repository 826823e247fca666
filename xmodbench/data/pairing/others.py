"""A subject's pairs against other subjects' slices: who else's target fits its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmodbench.data.pairing.contrast import alike
from xmodbench.data.pairing.flips import best_in_plane
from xmodbench.data.pairing.gain import TIE, Gain, gain, spread
from xmodbench.data.pairing.information import slice_information
from xmodbench.data.pairing.subject import Measured

STRANGERS = 32
"""So many other subjects say whether a pair is special; all are searched where it is not."""
USUAL = 0.9
"""Share of other subjects' slices that have to fit worse than the own one."""

AHEAD = 1.1
"""So much more has a moved target to share than another subject's that was moved as well."""


@dataclass(frozen=True)
class Others:
    """``worse``: share of other subjects' slices that fit worse than the own; ``nearest``: who fits best, with the gain from
    taking his slices instead; ``beside``: the gain from moving the own target in the plane, where that explains why others'
    slices fit as well; ``contrast``: median likeness of the two modalities' difference to others', negative where
    they are exchanged. All None where there is nobody else.
    """

    worse: float | None = None
    nearest: str | None = None
    gain: Gain | None = None
    beside: Gain | None = None
    contrast: float | None = None


def against_others(names: Sequence[str], measured: Sequence[Measured]) -> list[Others]:
    """Compare subjects, one of each name, in one pair of modalities."""
    return [_against(index, names, measured) for index in range(len(names))]


def _against(index: int, names: Sequence[str], measured: Sequence[Measured]) -> Others:
    others = [place for place in range(len(names)) if place != index]
    if not others:
        return Others()
    own, few = measured[index], [others[place] for place in spread(len(others), STRANGERS)]
    stored = slice_information(*own.levels)
    fits = {place: _with_slices_of(measured[place], own) for place in few}
    worse = 1 - float(np.mean([(fit > stored + TIE).mean() for fit in fits.values()]))
    if worse < USUAL:
        fits |= {place: _with_slices_of(measured[place], own) for place in others if place not in fits}
    nearest = max(fits, key=lambda place: fits[place].mean())
    likeness = float(np.median([alike(own.contrast, measured[place].contrast) for place in others]))
    beside = _beside(own, stored, measured[nearest]) if worse < USUAL or fits[nearest].mean() > stored.mean() else None
    return Others(worse, names[nearest], gain(stored, fits[nearest]), beside, likeness)


def _beside(own: Measured, stored: np.ndarray, nearest: Measured) -> Gain | None:
    """The gain from a small move of the own target, None where the nearest other's fits about as well after one."""
    moved, others = best_in_plane(*own.levels), best_in_plane(own.levels[0], _like(nearest, own))
    return gain(stored, moved) if moved.mean() - 1 > AHEAD * (others.mean() - 1) else None


def _with_slices_of(other: Measured, own: Measured) -> np.ndarray:
    """NMI of the own source with the other subject's target."""
    return slice_information(own.levels[0], _like(other, own))


def _like(other: Measured, own: Measured) -> np.ndarray:
    """The other subject's target at the same shares of the way through the slices as the own."""
    target = other.levels[1]
    return target[np.linspace(0, len(target) - 1, len(own.levels[0])).round().astype(int)]
