"""What is suspected of which pair, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmodbench.data.pairing.flips import FLIPS
from xmodbench.data.pairing.gain import LEAST, Gain
from xmodbench.data.pairing.others import USUAL, Others, against_others
from xmodbench.data.pairing.subject import Measured, Pair

MARGIN, SHARE = 0.02, 0.75
"""A gain above the margin in this share of the slices is no chance: sound pairs lose."""
TELLING = 0.1
"""Where a pair fits no better than any other, a smaller gain is chance and tells no cause."""
IN_ORDER = 0.8
"""Share of a subject's other slices that have to fit worse than the own one."""
EXCHANGED = -0.25
NEARLY, TAKES, ENOUGH = -0.05, -0.15, 4
"""A flip that takes nearly nothing has been made, if it takes this much from the median of enough other subjects, and the
pair shares less than theirs do by at least half of that."""


@dataclass(frozen=True)
class Finding:
    """One pair of modalities of one subject, measured and judged. ``suspected``: what may be wrong, for people; or None."""

    subject: str
    measured: Measured
    others: Others
    suspected: str | None

    @property
    def pair(self) -> Pair:
        """The modalities."""
        return self.measured.pair

    @property
    def rival(self) -> tuple[str, float]:
        """What would fit best instead of what is stored, and its gain: negative where the pair is sound."""
        gains = {name: found.mean for name, found in self.measured.gains.items()}
        if self.others.nearest and self.others.gain:
            gains[f"that of {self.others.nearest}"] = self.others.gain.mean
        return max(gains.items(), key=lambda item: item[1])

    def facts(self) -> dict[str, Any]:
        """What goes into the manifest, rounded."""
        measured, others = self.measured, self.others
        return {
            "pair": list(measured.pair),
            "nmi": round(measured.nmi, 4),
            "gains": {name: _rounded(found) for name, found in measured.gains.items()},
            "in_order": None if measured.in_order is None else round(measured.in_order, 4),
            "others_worse": None if others.worse is None else round(others.worse, 4),
            "nearest_other": others.gain and {"subject": others.nearest, "gain": _rounded(others.gain)},
            "contrast": None if others.contrast is None else round(others.contrast, 4),
            "suspected": self.suspected,
        }


def judge(subjects: Sequence[tuple[str, Sequence[Measured]]]) -> dict[str, list[Finding]]:
    """Judge the subjects of a data set against each other: findings by subject, one for each pair of modalities.

    Args:
        subjects: (name, measures of all pairs), the same pairs for all.
    """
    found: dict[str, list[Finding]] = {name: [] for name, _ in subjects}
    names = list(found)
    for column in zip(*(measures for _, measures in subjects), strict=True):
        for place, others in enumerate(against_others(names, column)):
            rest = [measured for index, measured in enumerate(column) if index != place]
            suspected = _suspected(column[place], others, rest)
            found[names[place]].append(Finding(names[place], column[place], others, suspected))
    return found


def _suspected(measured: Measured, others: Others, rest: Sequence[Measured]) -> str | None:
    first, second = measured.pair
    if measured.nmi - 1 < LEAST:
        return f"{second} shares no information with {first}: one may be blank or something else"
    astray = _below(others.worse, USUAL) or _below(measured.in_order, IN_ORDER)
    tried = measured.gains | {"stranger": others.gain}
    reasons = {name: found for name, found in tried.items() if found is not None and found.clear(MARGIN, SHARE)}
    if others.beside and (astray or "stranger" in reasons):
        # how far modalities lie apart is the alignment's to say: here it only explains why others fit
        reasons["beside"] = others.beside
    said = []
    if others.contrast is not None and others.contrast < EXCHANGED:
        said.append(f"{first} and {second} exchanged: each has the other subjects' intensities of the other")
    best = max(reasons, key=lambda name: reasons[name].mean, default=None)
    if best and (reasons[best].mean > TELLING or not astray):
        said.append(_said(best, first, second, others.nearest))
    elif astray:
        shares = {"its own other slices": measured.in_order, "other subjects' slices": others.worse}
        seen = " and ".join(f"{share:.0%} of {whose}" for whose, share in shares.items() if share is not None)
        said.append(f"{second} of another place or subject: only {seen} fit {first} worse")
    elif turned := _nearly_free(measured, rest):
        said.append(f"{second} flipped {turned}: turned back, it fits {first} about as well, unlike others")
    return "; ".join(said) or None


def _below(share: float | None, least: float) -> bool:
    return share is not None and share < least


def _nearly_free(measured: Measured, rest: Sequence[Measured]) -> str | None:
    """The flip that takes nearly nothing from this subject and much from the others, where it has cost information."""
    if len(rest) < ENOUGH:
        return None
    usual = {name: float(np.median([each.gains[name].mean for each in rest])) for name in FLIPS}
    share = (measured.nmi - 1) / max(LEAST, float(np.median([each.nmi for each in rest])) - 1)
    free = [
        name
        for name, takes in usual.items()
        if measured.gains[name].mean > NEARLY and takes < TAKES and share < 1 + takes / 2
    ]
    return max(free, key=lambda name: measured.gains[name].mean, default=None)


def _said(name: str, first: str, second: str, nearest: str | None) -> str:
    if name == "stranger":
        return f"{second} of another subject: that of {nearest} fits {first} better"
    if name == "beside":
        return f"{second} lies beside {first} in the plane: moved, it fits better"
    if name == "reversed":
        return f"{second} in reverse order of slices"
    if name in FLIPS:
        return f"{second} flipped {name}"
    where, step = name.split()
    slices = "slice" if where == "slice" else "slice of the volume"
    return f"{second} one {slices} off: its {'next' if step == '+1' else 'previous'} one fits {first} better"


def _rounded(found: Gain) -> list[float]:
    return [round(found.mean, 4), round(found.share, 4)]
