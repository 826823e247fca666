"""Whether the pairs of a prepared data set belong together, measured again on what the stores hold now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xmodbench.data.pairing.gain import Gain
from xmodbench.data.pairing.judge import Finding, judge
from xmodbench.data.pairing.subject import Measured, measure
from xmodbench.store import SliceStore

Place = tuple[str, str]
"""Split and subject: a lone subject is in both splits."""


def findings(stores: Mapping[str, SliceStore], modalities: list[str]) -> dict[Place, list[Finding]]:
    """All subjects judged against each other, one finding for each pair of modalities.

    Args:
        stores: by split.
        modalities: the reference first. Where the preparation recorded pairs, theirs is the order.
    """
    measured = {(split, name): found for split, store in stores.items() for name, found in _measured(store, modalities)}
    names = [name for _, name in measured]
    alone = len(set(names)) < len(names)
    groups = [[place for place in measured if place[0] == split] for split in stores] if alone else [list(measured)]
    found: dict[Place, list[Finding]] = {}
    for group in groups:
        judged = judge([(name, measured[split, name]) for split, name in group])
        found |= {(split, name): judged[name] for split, name in group}
    return found


def _measured(store: SliceStore, modalities: list[str]) -> Iterator[tuple[str, list[Measured]]]:
    for name in sorted(set(store.subjects)):
        index = [i for i, subject in enumerate(store.subjects) if subject == name]
        recorded = store.manifest.get("volumes", {}).get(name, {}).get("pairing", [])
        order = list(dict.fromkeys(modality for item in recorded for modality in item["pair"])) or modalities
        images = {modality: np.array(store.array(modality)[index]) for modality in order}
        yield name, [_with_neighbours(item, recorded) for item in measure(images)]


def _with_neighbours(measured: Measured, recorded: list[dict[str, Any]]) -> Measured:
    """With what only the volume could tell: how the slices between those of the store fit."""
    gains = {
        name: Gain(*values)
        for item in recorded
        if tuple(item["pair"]) == measured.pair
        for name, values in item["gains"].items()
        if name not in measured.gains
    }
    return replace(measured, gains=measured.gains | gains)
