"""Tissues and the signal equations of MR sequences.

Proton densities and relaxation times (ms) are within the ranges of Stanisz et al. 2005, Wansapura et al. 1999, Peters et
al. 2007 and de Bazelaire et al. 2004; the air has no signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Proton density relative to water; T1, T2 and T2* in ms, at one field strength."""

    pd: float
    t1: float
    t2: float
    t2s: float


# name: (PD, T1 1.5 T, T1 3 T, T2 1.5 T, T2 3 T, T2* 1.5 T, T2* 3 T)
_HEAD = {
    "wm": (0.70, 650, 850, 78, 70, 66, 53),
    "gm": (0.82, 1050, 1400, 95, 95, 84, 66),
    "csf": (1.00, 4200, 4300, 1900, 1900, 500, 300),
    "glioma": (0.90, 1350, 1700, 170, 160, 120, 110),
    "marrow": (0.75, 300, 365, 60, 50, 40, 30),
    "bone": (0.07, 250, 220, 0.5, 0.45, 0.4, 0.4),
    "muscle": (0.80, 1000, 1400, 42, 35, 30, 28),
    "fat": (0.90, 300, 380, 68, 68, 45, 40),
    "skin": (0.80, 1000, 1300, 35, 32, 25, 22),
}


def head_tissues(tesla: float, generator: np.random.Generator | None = None) -> dict[str, Tissue]:
    """Tissues of the head at 1.5 or 3 T; with a generator, as one subject has them (T1, T2 +-5 %, PD +-2 %, sd)."""
    three = int(tesla >= 3)
    tissues = {}
    for name, (density, *times) in _HEAD.items():
        values = np.array([density, times[0 + three], times[2 + three], times[4 + three]])
        if generator is not None:
            relaxation, spin = generator.normal(0, 0.05, 2), generator.normal(0, 0.02)
            # T2* follows T2: both are shortened by what the spins sit in
            values = values * (1 + np.array([spin, relaxation[0], relaxation[1], relaxation[1]]))
        tissues[name] = Tissue(*map(float, values))
    return tissues


def spin_echo(tissue: Tissue, tr: float, te: float) -> float:
    """PD (1 - exp(-TR/T1)) exp(-TE/T2); times in ms."""
    return float(tissue.pd * (1 - np.exp(-tr / tissue.t1)) * np.exp(-te / tissue.t2))


def spoiled_gradient_echo(tissue: Tissue, tr: float, te: float, flip_deg: float) -> float:
    """Ernst's steady state: PD sin a (1 - E) / (1 - E cos a) exp(-TE/T2*), E = exp(-TR/T1); times in ms."""
    flip, e = np.radians(flip_deg), np.exp(-tr / tissue.t1)
    return float(tissue.pd * np.sin(flip) * (1 - e) / (1 - e * np.cos(flip)) * np.exp(-te / tissue.t2s))
