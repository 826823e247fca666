"""Whether a volume is of the kind that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from xmodbench.data.pairing.contrast import apart
from xmodbench.data.volumes.alone import Alone
from xmodbench.data.volumes.grids import rigid_facts
from xmodbench.data.volumes.known import HU, measures_of
from xmodbench.data.volumes.register import MIN_COVERAGE

COARSER, THICKNESS = 1.5, 2.0
"""Voxels within a slice may be so many times as long as the coarsest of training; slices so many times as far apart, or
as near, as those of training."""
PIXEL, COVERAGE, CUT_OFF = 0.1, 0.8, 0.05
"""By how much of their size pixels may differ; share of the field of view that has to be scanned, relative to the least of
training; share of the head or body that may lie outside it beyond that of training."""
TILT_DEG = 15.0
NEARER = 0.8
"""A histogram is another modality's if it is nearer to that one's by this factor."""
EVERY = 4
"""Of the pixels by which it is judged how much of one source another covers, along rows and columns."""
IN_AIR_HU = -300.0
"""Below it are values of CT alone: MR has none, and every CT has air."""

Known = Mapping[str, Any]


def doubts(known: Known, alone: Alone) -> list[str]:
    """What speaks against a volume, or against those of several sources, a clause each.

    Args:
        known: of the model, see `xmodbench.data.volumes.known`.
        alone: as prepared; its facts are as a store's manifest has them.
    """
    facts, sources, found = alone.facts, list(alone.images), list(alone.forced)
    for source in sources:
        clauses = _modality(known["modalities"], source, facts)
        found += clauses if len(sources) == 1 else [f"{source}: {clause}" for clause in clauses]
    for other in (name for name in sources if name != alone.reference):
        if (share := _covered(alone, other)) < MIN_COVERAGE:
            found.append(
                f"{other} covers {share:.0%} of the head or body in {alone.reference} (least {MIN_COVERAGE:.0%})"
            )
    size = alone.images[alone.reference].shape[-1]
    return [*found, *_geometry(known, facts, measures_of(alone.place, size))]


def _covered(alone: Alone, other: str) -> float:
    """Share of the reference's head or body (its pixels brighter than the mean) that lies within another source's scan."""
    stack, place = alone.images[alone.reference], alone.place
    mean, scan = stack.mean(), place.scans[other]
    to_scan = np.linalg.inv(scan.affine)
    if other in place.moved:
        to_scan = to_scan @ np.array(rigid_facts(place.moved[other]))
    inside = []
    for image, row in zip(stack, alone.rows, strict=True):
        rows, cols = EVERY * np.argwhere(image[::EVERY, ::EVERY] > mean).T
        pixels = np.stack([cols, rows, np.zeros_like(rows), np.ones_like(rows)])
        index = (to_scan @ np.array(json.loads(row["affine"])) @ pixels)[:3].T
        inside.append(((index >= -0.5) & (index <= np.subtract(scan.size, 0.5))).all(axis=1))
    return float(np.concatenate(inside).mean())


def _modality(modalities: Mapping[str, Any], source: str, facts: Mapping[str, Any]) -> list[str]:
    if source not in modalities:
        return [f"the training data have no {source}, only {' and '.join(modalities)}"]
    lowest, trained = facts["scans"][source]["extremes"][0], modalities[source]
    if trained["unit"] == HU and lowest > IN_AIR_HU:
        return [f"no value is below {lowest:g}: not in HU, or no {source}"]
    if trained["unit"] != HU and lowest < IN_AIR_HU < min(trained["lowest"]):
        return [f"values go down to {lowest:g}, as in CT and in no {source} of the training data"]
    levels = np.array(facts["levels"][source])
    off = {name: apart(levels, np.array(item["levels"])) for name, item in modalities.items()}
    nearest = min(off, key=lambda name: off[name])
    if nearest != source and off[nearest] < NEARER * off[source] and off[source] > trained["spread"]:
        return [f"its grey levels are those of {nearest} rather than of {source}"]
    return []


def _geometry(known: Known, facts: Mapping[str, Any], measured: Mapping[str, list[float]]) -> list[str]:
    found = []
    # of the scans: the first is the grid that they were brought to
    coarsest, trained = max(measured["in_plane_mm"][1:]), known["in_plane_mm"]["most"]
    if coarsest > COARSER * trained:
        found.append(
            f"its voxels are {coarsest:.3g} mm long within {known['plane']} slices, in training up to {trained:.3g}"
        )
    between = known["between_mm"]
    for step in dict.fromkeys(measured["between_mm"][1:]):
        if not between["least"] / THICKNESS <= step <= between["most"] * THICKNESS:
            found.append(f"its {known['plane']} slices are {step:.3g} mm apart, in training {_range(between)}")
    tilt = measured["tilt_deg"][0]
    if tilt > known["tilt_deg"]["most"] + TILT_DEG:
        most = known["tilt_deg"]["most"]
        found.append(f"its axes lie {tilt:.0f} degrees beside the patient's, in training up to {most:.0f}")
    pixels = known["pixel_mm"]
    if min(measured["pixel_mm"]) < pixels["least"] * (1 - PIXEL) or max(measured["pixel_mm"]) > pixels["most"] * (
        1 + PIXEL
    ):
        size = max(measured["pixel_mm"])
        found.append(f"its field of view makes pixels of {size:.3g} mm, in training {_range(pixels)}")
    coverage, least = measured["coverage"][0], known["coverage"]["least"]
    if coverage < COVERAGE * least:
        found.append(f"{coverage:.0%} of the field of view was scanned, in training at least {least:.0%}")
    cut, most = facts["head"]["cut_off"], known["cut_off"]["most"]
    if cut > most + CUT_OFF:
        found.append(f"{cut:.0%} of the head or body lies outside the field of view, in training up to {most:.0%}")
    return found


def _range(span: Mapping[str, float]) -> str:
    low, high = f"{span['least']:.3g}", f"{span['most']:.3g}"
    return low if low == high else f"{low} to {high}"
