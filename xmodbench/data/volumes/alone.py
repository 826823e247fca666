"""One volume without its counterpart, prepared as those that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from xmodbench.data.pairing.contrast import histogram
from xmodbench.data.pairing.information import grey_levels
from xmodbench.data.volumes.putting_back import Place
from xmodbench.data.volumes.settings import Preparation, SliceSelection
from xmodbench.data.volumes.subject import Task, prepared
from xmodbench.errors import UserError
from xmodbench.plugins import SubjectRecord

NAME = "volume"
"""What its slices are called after, whatever its file is called: a name decides no result."""


@dataclass(frozen=True)
class Alone:
    """A volume as slices.

    Attributes:
        images: float32 [N, H, W] in [0, 1], every slice with head or body in it.
        rows: of ``slices.csv``.
        facts: as a store's manifest has them.
        place: where the slices were taken from.
        assumed: what was, a clause each.
    """

    images: np.ndarray
    rows: list[dict[str, Any]]
    facts: dict[str, Any]
    place: Place
    assumed: list[str]


def prepare_alone(
    path: Path, source: str, known: Mapping[str, Any], orientation: str | None = None, remark: str | None = None
) -> Alone:
    """Prepare a volume of the modality `source`.

    Args:
        known: of the model, see `xmodbench.data.volumes.known`.
        orientation: directions of the file's axes, where it does not say so.
        remark: what was assumed when the file was made of others.

    Raises:
        UserError: it cannot be read or prepared.
    """
    trained = Preparation.model_validate(known["settings"])
    check_orientation(orientation)
    record = SubjectRecord(NAME, "", {source: path}, remarks={source: remark} if remark else {})
    task = Task(record, (source,), _settings(trained, known, source, orientation), path.parent, Path(), 0)
    try:
        outcome, stacks = prepared(task)
    except UserError as error:
        fix = error.fix and error.fix.replace("set `assume_orientation`", "give `--orientation`")
        raise UserError(error.what, error.where, fix) from None
    facts, images = outcome.facts, stacks[source]
    facts["voxels_sha256"] = outcome.voxels[source].sha256
    within = _trained_heights(facts, outcome.rows, known)
    facts["levels"][source] = histogram(grey_levels(images[within] if within.any() else images)).tolist()
    assumed = [*facts.get("headers", {}).values(), *_of_the_mask(known, source)]
    if not within.all():
        seen = " to ".join(f"{known['heights'][end]:.0%}" for end in ("least", "most"))
        assumed.append(f"{int((~within).sum())} of {len(within)} slices are of other heights than trained on ({seen})")
    return Alone(images, outcome.rows, facts, Place.read(facts, path), assumed)


def check_orientation(code: str | None) -> None:
    """Raise UserError where a code is none such as ``LPS``."""
    try:
        Preparation(assume_orientation=code)
    except ValidationError:
        raise UserError(f"'{code}' is no orientation", "--orientation", "three letters, such as LPS or RAS") from None


def _settings(trained: Preparation, known: Mapping[str, Any], source: str, orientation: str | None) -> Preparation:
    """The options of training, for a volume that is its own reference, and every slice of it."""
    spacing = trained.spacing_mm
    if trained.axis == "stored" and isinstance(spacing, tuple):
        spacing = tuple(known["grid_mm"])  # in the order of the trained files' axes, which need not be this one's
    changed = {
        "reference": source,
        "mask_from": source,
        "assume_orientation": orientation,
        "axis": known["plane"],
        "spacing_mm": spacing,
        "slices": SliceSelection(),
        "min_foreground": 0.0,
        "registration": "none",
        "resample": "world",
        "normalise": {source: trained.normalisation(source)},
    }
    return trained.model_copy(update=changed)


def _trained_heights(facts: Mapping[str, Any], rows: list[dict[str, Any]], known: Mapping[str, Any]) -> np.ndarray:
    """Whether each slice is of a height within head or body that was trained on, bool [N]."""
    first, last = facts["head"]["slices"]
    extent = max(1, last - first)
    height = np.array([(row["index"] - first) / extent for row in rows])
    return (height >= known["heights"]["least"] - 0.5 / extent) & (height <= known["heights"]["most"] + 0.5 / extent)


def _of_the_mask(known: Mapping[str, Any], source: str) -> list[str]:
    mask = known["mask"]
    return [] if mask == source else [f"head or body is found in the {source} itself, in training in the {mask}"]
