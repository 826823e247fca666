"""Is a map of mutual information what two contrasts share? The premise, looked at without any training.

    python benchmarks/findings/maps.py data/cohort64/sim_ixi

The condition that MIDiffusion takes of the source alone is its LMI with itself. Spearman's correlation, over the
pixels of a head and over those deep in it, of that map with the local standard deviation and with Sobel's gradient of
the same slice; and of each map of one contrast with the same map of the other, which is what a model trained on target
maps alone has to rely on.
"""

from __future__ import annotations

import importlib
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from finished import Estimate
from page import WIDTH, Answer, arguments, pyplot, with_interval
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.stats import spearmanr

from xmodbench.metrics import stats
from xmodbench.plugins import METHODS, find
from xmodbench.store import SliceStore

NAMES = {"self": "LMI with itself", "std": "local standard deviation", "sobel": "Sobel's gradient"}
HEAD = 0.05
"""What is brighter in either contrast is head."""
DEEP = 6.0
"""Pixels from the head's outline; 22 mm in slices of 64 pixels and 240 mm."""


def main() -> None:
    """Make maps, correlate, write."""
    given = arguments(__doc__ or "", data="a data set's prepared folder, with two modalities")
    test = SliceStore(given.data / "test")
    one, other = test.modalities
    slices = {name: np.array(test.array(name)) for name in (one, other)}
    maps = {name: maps_of(images) for name, images in slices.items()}
    subjects = np.array(test.subjects)
    inside = regions(np.maximum(slices[one], slices[other]))
    found = pd.concat(
        [pd.DataFrame(rows(maps, part, subjects, (one, other))).assign(region=name) for name, part in inside.items()]
    )
    answer = Answer("maps", given.page)
    answer.numbers(found)
    answer.figure(figure(pyplot(), slices, maps))
    answer.table(table(found), "A slice in both contrasts, and its maps")


def regions(brightest: np.ndarray) -> dict[str, np.ndarray]:
    """Where maps are compared, ``[N, H, W]``: the head, and what lies deep in it, without skull and scalp."""
    head = brightest > HEAD
    deep = np.stack([distance_transform_edt(np.pad(binary_fill_holes(one), 1))[1:-1, 1:-1] > DEEP for one in head])
    return {"head": head, "depth": deep}


def maps_of(images: np.ndarray) -> dict[str, np.ndarray]:
    """Maps ``[N, H, W]`` of slices ``[N, H, W]``, as MIDiffusion's preset `short` makes them, windows of three pixels."""
    cls = find(METHODS, "midiffusion").cls
    guidance = importlib.import_module(f"{cls.__module__.rpartition('.')[0]}.guidance")
    settings = cls.Config(preset="short", channels=tuple(NAMES)).resolved()
    makers = guidance.maps_of_clean(settings, guidance.lmi_options(settings, settings.normalise_sample))
    tensor = torch.from_numpy(images[:, None].astype(np.float32))
    return {name: make(tensor)[:, 0].numpy() for name, make in makers.items()}


def rows(maps: dict, head: np.ndarray, subjects: np.ndarray, contrasts: tuple[str, str]) -> list[dict]:
    """Correlations with their intervals over subjects: within each contrast, and between the two."""
    within = [
        (f"within {name}", a, b, maps[name][a], maps[name][b]) for name in contrasts for a, b in combinations(NAMES, 2)
    ]
    between = [("between", name, name, *(maps[each][name] for each in contrasts)) for name in NAMES]
    by_subject = {(where, a, b): correlations(x, y, head, subjects) for where, a, b, x, y in [*within, *between]}
    found = [{"where": where, "map": a, "other": b, **interval(values)} for (where, a, b), values in by_subject.items()]
    for name in ("std", "sobel"):
        less = by_subject["between", "self", "self"] - by_subject["between", name, name]
        found.append({"where": "between, self less other", "map": "self", "other": name, **interval(less)})
    return found


def correlations(x: np.ndarray, y: np.ndarray, head: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Spearman's of two maps over each slice's head, the mean of each subject's slices."""
    values = pd.Series([spearmanr(a[inside], b[inside]).statistic for a, b, inside in zip(x, y, head, strict=True)])
    return values.groupby(subjects).mean().to_numpy()


def interval(values: np.ndarray) -> dict[str, float]:
    """A mean over subjects with its 95 % interval."""
    spread = stats.Spread(np.array(values.var(ddof=1) / len(values)), len(values) - 1)
    low, high = map(float, stats.t_interval(float(values.mean()), spread))
    return {"value": float(values.mean()), "low": low, "high": high, "subjects": len(values)}


def table(found: pd.DataFrame) -> str:
    """A line for each correlation, a column for each region."""
    lines = ["| maps | of | whole head | deeper than skull and scalp |", "|---|---|---:|---:|"]
    for (where, one, other), part in found.groupby(["where", "map", "other"], sort=False):
        less = "less" in where
        maps = NAMES[one] if one == other else f"{NAMES[one]} {'less' if less else 'and'} {NAMES[other]}"
        of = where.removeprefix("within ").upper() if where.startswith("within") else "one contrast and the other"
        cells = [with_interval(Estimate(row.value, row.low, row.high), 3, signed=less) for row in part.itertuples()]
        lines.append(f"| {' | '.join([maps, of, *cells])} |")
    return "\n".join(lines)


def figure(plt, slices: dict[str, np.ndarray], maps: dict):
    """The middle slice of the first subject in both contrasts, and its maps."""
    shown, axes = plt.subplots(len(slices), 1 + len(NAMES), figsize=(WIDTH, 3.7), layout="constrained")
    for line, (contrast, images) in zip(axes, slices.items(), strict=True):
        for axis, name in zip(line, (None, *NAMES), strict=True):
            axis.imshow(images[1] if name is None else maps[contrast][name][1], cmap="gray")
            axis.set_title(contrast.upper() if name is None else NAMES[name], fontsize=7)
            axis.set_axis_off()
    return shown


if __name__ == "__main__":
    main()
