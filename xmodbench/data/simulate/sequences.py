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
_AFTER_GADOLINIUM = {"enhanced": (0.85, 350, 400, 150, 120, 60, 40)}  # vessels, dura, choroid plexus

# name: (PD, T1 3 T, T2 3 T, HU, their spread within the tissue)
_PELVIS = {
    "skin": (0.80, 1000, 30, 20, 20),
    "fat": (0.90, 382, 68, -100, 12),
    "muscle": (0.80, 1100, 33, 55, 10),
    "bone": (0.10, 200, 0.5, 900, 200),
    "shaft": (0.10, 200, 0.5, 1300, 200),
    "red_marrow": (0.75, 586, 49, 180, 50),
    "femoral_head": (0.85, 365, 60, 280, 40),
    "yellow_marrow": (0.85, 365, 60, -50, 15),
    "cartilage": (0.70, 1156, 43, 100, 10),
    "bladder_wall": (0.80, 1100, 50, 40, 8),
    "urine": (1.00, 3500, 1000, 8, 4),
    "prostate_central": (0.85, 1550, 85, 40, 8),
    "prostate_peripheral": (0.88, 1600, 140, 40, 8),
    "seminal_vesicle": (0.95, 2000, 200, 30, 8),
    "rectum_wall": (0.82, 1300, 60, 45, 8),
    "stool": (0.60, 900, 50, 30, 20),
    "gas": (0.0, 1000, 50, -1000, 0),
    "vessel": (0.10, 1900, 100, 45, 5),  # flowing blood leaves little signal
}
_T1_AT_1_5, _T2_AT_1_5, _T2S_OF_T2 = 0.82, 1.1, 0.75
PELVIS_HU = {name: (float(row[3]), float(row[4])) for name, row in _PELVIS.items()}
"""Hounsfield units of the pelvis' tissues: mean, and spread within the tissue."""


def head_tissues(
    tesla: float, generator: np.random.Generator | None = None, gadolinium: bool = False
) -> dict[str, Tissue]:
    """Tissues of the head at 1.5 or 3 T; with a generator, as one subject has them (T1, T2 +-5 %, PD +-2 %, sd)."""
    three, rows = int(tesla >= 3), _HEAD | (_AFTER_GADOLINIUM if gadolinium else {})
    values = {name: (row[0], row[1 + three], row[3 + three], row[5 + three]) for name, row in rows.items()}
    return _of_subject(values, generator)


def pelvis_tissues(tesla: float, generator: np.random.Generator | None = None) -> dict[str, Tissue]:
    """Tissues of the pelvis at 1.5 or 3 T; with a generator, as one subject has them (T1, T2 +-5 %, PD +-2 %, sd)."""
    t1, t2 = (1.0, 1.0) if tesla >= 3 else (_T1_AT_1_5, _T2_AT_1_5)
    values = {name: (row[0], row[1] * t1, row[2] * t2, row[2] * t2 * _T2S_OF_T2) for name, row in _PELVIS.items()}
    return _of_subject(values, generator)


def _of_subject(values: dict[str, tuple], generator: np.random.Generator | None) -> dict[str, Tissue]:
    tissues = {}
    for name, row in values.items():
        own = np.array(row, float)
        if generator is not None:
            relaxation, spin = generator.normal(0, 0.05, 2), generator.normal(0, 0.02)
            # T2* follows T2: both are shortened by what the spins sit in
            own = own * (1 + np.array([spin, relaxation[0], relaxation[1], relaxation[1]]))
        tissues[name] = Tissue(*map(float, own))
    return tissues


def spin_echo(tissue: Tissue, tr: float, te: float) -> float:
    """PD (1 - exp(-TR/T1)) exp(-TE/T2); times in ms."""
    return float(tissue.pd * (1 - np.exp(-tr / tissue.t1)) * np.exp(-te / tissue.t2))


def spoiled_gradient_echo(tissue: Tissue, tr: float, te: float, flip_deg: float) -> float:
    """Ernst's steady state: PD sin a (1 - E) / (1 - E cos a) exp(-TE/T2*), E = exp(-TR/T1); times in ms."""
    flip, e = np.radians(flip_deg), np.exp(-tr / tissue.t1)
    return float(tissue.pd * np.sin(flip) * (1 - e) / (1 - e * np.cos(flip)) * np.exp(-te / tissue.t2s))


def inversion_recovery(tissue: Tissue, tr: float, ti: float, te: float) -> float:
    """Magnitude of an inversion-recovery spin echo: PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2); times in ms."""
    recovered = 1 - 2 * np.exp(-ti / tissue.t1) + np.exp(-tr / tissue.t1)
    return float(tissue.pd * abs(recovered) * np.exp(-te / tissue.t2))


def mp_rage(tissue: Tissue, tr: float, ti: float, te: float) -> float:
    """MP-RAGE without the read-out's own saturation: PD |1 - 2 exp(-TI/T1) / (1 + exp(-TR/T1))| exp(-TE/T2*)."""
    recovered = 1 - 2 * np.exp(-ti / tissue.t1) / (1 + np.exp(-tr / tissue.t1))
    return float(tissue.pd * abs(recovered) * np.exp(-te / tissue.t2s))
