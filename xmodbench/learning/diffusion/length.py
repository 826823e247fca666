"""How long a training takes at most where nobody says: counted without torch, so that plans can, too."""

from __future__ import annotations

import math

FEWEST = 10
"""Slices below which none are held out: they are needed to train."""
PASSES, LEAST = 300, 1000
"""Passes over the slices and, at least, steps that training may take where nobody says."""
MOST = {"cpu": 4000, "cuda": 40_000}
"""Steps at most with slices of 96 pixels, in inverse proportion to their area: forty minutes of one core or so."""


def count_held_out(count: int, share: float) -> int:
    """How many of ``count`` training slices are held out: a `share` of them; none of few."""
    return max(2, round(share * count)) if share and count >= FEWEST else 0


def most_steps(slices: int | None, per_step: int, shape: tuple[int, ...], device: str) -> int:
    """Optimiser steps at most for so many training slices [H, W], by device; for any number of them where that is None."""
    most = round(MOST["cpu" if device == "cpu" else "cuda"] * 96**2 / math.prod(shape))
    return max(LEAST, most if slices is None else min(most, math.ceil(PASSES * slices / per_step)))
