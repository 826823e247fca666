"""How far translations of simulated heads are off in each tissue, which the simulation knows and no metric looks at."""

from __future__ import annotations

import importlib
import json

import numpy as np
from scipy.ndimage import map_coordinates

from xmodbench.metrics.registry import Metric
from xmodbench.plugins import DATASETS, find
from xmodbench.store import SliceStore

TISSUES = {
    "fluid": ("csf",),
    "grey matter": ("gm",),
    "white matter": ("wm",),
    "skull": ("bone", "marrow"),
    "scalp": ("muscle", "fat", "skin"),
}
LEAST = 5.0
"""Pixels' worth of a tissue that a slice must show for it to be judged there."""
ERROR = Metric(
    "tissue.error",
    "error by tissue",
    "Mean over the tissues in a slice (fluid, grey and white matter, skull, scalp, as they were simulated) of the mean "
    "absolute error in them, weighted by each pixel's share of the tissue.",
    False,
    (0.0, 100.0),
    unit="% of range",
    digits=2,
)
BIAS = Metric(
    "tissue.bias",
    "error of tissue means",
    "The same of each tissue's mean: how far off its grey value is, whatever the noise.",
    False,
    (0.0, 100.0),
    unit="% of range",
    digits=2,
)


def tissue_shares(store: SliceStore) -> np.ndarray:
    """Each pixel's share of `TISSUES`, ``[tissues, N, H, W]``, by drawing the heads of a store of `sim_ixi` once more.

    The slices lie in the frame of PD, which is the head's own.
    """
    plugin, settings = find(DATASETS, "sim_ixi"), store.manifest["settings"]
    draw = importlib.import_module(plugin.cls.__module__.rpartition(".")[0] + ".simulate").draw_subject
    rows, columns = np.mgrid[: store.manifest["shape"][0], : store.manifest["shape"][1]]
    pixels = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)]).reshape(4, -1)
    found = np.zeros((len(TISSUES), store.manifest["count"], *rows.shape), np.float32)
    for subject in dict.fromkeys(store.subjects):
        drawn = draw(subject, store.manifest["seed"], settings["scale"])
        parts = [sum(drawn.fractions[name] for name in names) for names in TISSUES.values()]
        for place, row in enumerate(store.rows):
            if row["subject"] == subject:
                ras = np.array(json.loads(row["affine"])) @ pixels
                lps = ras[:3] * np.array([[-1], [-1], [1]])
                index = (lps - np.array(drawn.grid.GetOrigin())[:, None]) / np.array(drawn.grid.GetSpacing())[:, None]
                for number, part in enumerate(parts):
                    found[number, place] = map_coordinates(part, index[::-1], order=1).reshape(rows.shape)
    return found


def tissue_errors(translation: np.ndarray, target: np.ndarray, shares: np.ndarray) -> dict[str, np.ndarray]:
    """Both errors of each slice, by their metric's id.

    Args:
        translation, target: ``[N, H, W]`` in [0, 1].
        shares: see `tissue_shares`.

    Returns:
        float64 ``[N]`` in per cent of the range, NaN for a slice without any tissue.
    """
    off = np.asarray(translation, np.float64) - target
    amount = shares.sum((2, 3), dtype=np.float64)
    enough = amount >= LEAST
    found = {}
    for metric, total in (
        (ERROR, (shares * np.abs(off)).sum((2, 3))),
        (BIAS, np.abs((shares * off).sum((2, 3)))),
    ):
        by_tissue = np.where(enough, total / np.maximum(amount, 1e-9), 0)
        found[metric.id] = 100 * by_tissue.sum(0) / np.where(enough.any(0), enough.sum(0), np.nan)
    return found
