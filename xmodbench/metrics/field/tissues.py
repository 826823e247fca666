"""Hounsfield units by tissue: how far a translation is off in air, fat, soft tissue and bone, and how its values spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from xmodbench.metrics.field.units import Scale

BONE_HU = 250.0
TISSUES = {"air": (-np.inf, -200.0), "fat": (-200.0, -20.0), "soft tissue": (-20.0, BONE_HU), "bone": (BONE_HU, np.inf)}
"""Of the target, in HU."""
BINS = 80


def hu_by_tissue(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray, scale: Scale) -> dict[str, Any]:
    """What a subject's slices show inside the body.

    Returns:
        ``tissues``: by tissue of the target its ``voxels``, the ``target``'s and the ``translation``'s mean in HU, and
        ``mae``; ``histogram``: voxels in each of 80 bins over the window, of both; ``clipped``: share of the target's
        voxels at the window's ``low`` and ``high`` end.
    """
    made, real = (scale.values(images[mask]) for images in (prediction, target))
    found = {}
    for name, (low, high) in TISSUES.items():
        inside = (real >= low) & (real < high)
        if inside.any():
            means = {"target": float(real[inside].mean()), "translation": float(made[inside].mean())}
            mae = float(np.abs(made[inside] - real[inside]).mean())
            found[name] = {"voxels": int(inside.sum()), **means, "mae": mae}
    counts = {
        name: np.histogram(values, bins=BINS, range=(scale.low, scale.high))[0].tolist()
        for name, values in (("translation", made), ("target", real))
    }
    share = max(1, real.size)
    ends = {"low": float((target[mask] <= 0).sum() / share), "high": float((target[mask] >= 1).sum() / share)}
    return {"tissues": found, "histogram": counts, "clipped": ends}
