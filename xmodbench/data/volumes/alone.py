"""Volumes without their counterpart, prepared as those that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import ValidationError

from xmodbench.data.pairing.contrast import histogram
from xmodbench.data.pairing.information import grey_levels
from xmodbench.data.volumes.identity import Voxels
from xmodbench.data.volumes.putting_back import Place
from xmodbench.data.volumes.settings import Preparation, SliceSelection
from xmodbench.data.volumes.subject import Task, prepared
from xmodbench.errors import UserError
from xmodbench.plugins import SubjectRecord

NAME = "volume"
"""What its slices are called after, whatever its file is called: a name decides no result."""


@dataclass(frozen=True)
class Alone:
    """A volume, or one of each source modality, as slices.

    Attributes:
        images: by modality, float32 [N, H, W] in [0, 1], every slice with head or body in it.
        rows: of ``slices.csv``.
        facts: as a store's manifest has them; ``files`` say the hash of the voxels too.
        place: where the slices were taken from.
        reference: the modality whose grid they lie on.
        assumed: what was, a clause each.
        forced: what speaks against it, where nothing but the user's wish let it pass.
    """

    images: dict[str, np.ndarray]
    rows: list[dict[str, Any]]
    facts: dict[str, Any]
    place: Place
    reference: str
    assumed: list[str]
    forced: list[str]


def reference_of(known: Mapping[str, Any], sources: Sequence[str]) -> str:
    """The modality whose grid the others are brought to: that of training, or the first where that is not among them."""
    trained = str(known.get("reference"))  # models trained before it was kept do without
    return trained if trained in sources else sources[0]


def prepare_alone(
    files: Mapping[str, Path],
    known: Mapping[str, Any],
    orientation: str | None = None,
    remarks: Mapping[str, str] = MappingProxyType({}),
    force: bool = False,
) -> Alone:
    """Prepare a volume, or one of each source, brought to the grid of one of them as in training.

    Args:
        files: by modality, in the order of the sources.
        known: of the model, see `xmodbench.data.volumes.known`.
        orientation: directions of the files' axes, where they do not say so.
        remarks: by modality, what was assumed when its file was made of others.
        force: go on where a registration is rejected, by what the headers say.

    Raises:
        UserError: they cannot be read or prepared, or do not belong together.
    """
    trained = Preparation.model_validate(known["settings"])
    check_orientation(orientation)
    names, reference = tuple(files), reference_of(known, tuple(files))
    settings = _settings(trained, known, names, reference, orientation, force)
    record = SubjectRecord(NAME, "", dict(files), remarks=dict(remarks))
    task = Task(record, names, settings, files[reference].parent, Path(), 0)
    try:
        outcome, stacks = prepared(task)
    except UserError as error:
        raise UserError(error.what, error.where, _said_here(error.fix)) from None
    facts = outcome.facts
    for name, voxels in outcome.voxels.items():
        facts["files"][name]["voxels_sha256"] = voxels.sha256
    _check_different(outcome.voxels, files)
    within = _trained_heights(facts, outcome.rows, known)
    for name, images in stacks.items():
        facts["levels"][name] = histogram(grey_levels(images[within] if within.any() else images)).tolist()
    several = len(names) > 1
    remarked = facts.get("headers", {}).items()
    assumed = [f"{name}: {clause}" if several else clause for name, clause in remarked]
    assumed += _of_the_mask(known, settings.mask_from or reference)
    assumed += _of_the_grids(trained, [facts["scans"][name] for name in names])
    if not within.all():
        seen = " to ".join(f"{known['heights'][end]:.0%}" for end in ("least", "most"))
        assumed.append(f"{int((~within).sum())} of {len(within)} slices are of other heights than trained on ({seen})")
    place = Place.read(facts, files[reference])
    return Alone(stacks, outcome.rows, facts, place, reference, assumed, _rejected(facts, reference))


def _said_here(fix: str | None) -> str | None:
    """Advice in the words of this command: what is an option of a data set elsewhere."""
    if fix is None:
        return None
    if "`registration_limit_mm`" in fix:
        return "look at them: they have to be of one person and session; --force takes them as their headers lie"
    return fix.replace("set `assume_orientation`", "give `--orientation`")


def _check_different(voxels: Mapping[str, Voxels], files: Mapping[str, Path]) -> None:
    """Raise UserError where one volume is given as two modalities."""
    seen: dict[str, str] = {}
    for name, item in voxels.items():
        if (other := seen.setdefault(item.sha256, name)) != name:
            raise UserError(f"the same volume is given as {other} and as {name}", files[name], "give one of each")


def _rejected(facts: Mapping[str, Any], reference: str) -> list[str]:
    """Registrations that did not pass, whose volumes are taken as their headers lie."""
    found = facts.get("registration", {}).items()
    return [f"registration of {name} to {reference} rejected" for name, item in found if not item["accepted"]]


def check_orientation(code: str | None) -> None:
    """Raise UserError where a code is none such as ``LPS``."""
    try:
        Preparation(assume_orientation=code)
    except ValidationError:
        raise UserError(f"'{code}' is no orientation", "--orientation", "three letters, such as LPS or RAS") from None


def _settings(
    trained: Preparation,
    known: Mapping[str, Any],
    names: Sequence[str],
    reference: str,
    orientation: str | None,
    force: bool,
) -> Preparation:
    """The options of training, for volumes of which one is the reference, and every slice of them."""
    spacing = trained.spacing_mm
    if trained.axis == "stored" and isinstance(spacing, tuple):
        spacing = tuple(known["grid_mm"])  # in the order of the trained files' axes, which need not be this one's
    changed = {
        "reference": reference,
        "mask_from": known["mask"] if known["mask"] in names else reference,
        "assume_orientation": orientation,
        "axis": known["plane"],
        "spacing_mm": spacing,
        "slices": SliceSelection(),
        "min_foreground": 0.0,
        "resample": "world",
        "rejected_registration": "keep" if force else "exclude",
        "normalise": {name: trained.normalisation(name) for name in names},
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


def _of_the_grids(trained: Preparation, scans: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is assumed of sources on several grids, where those of training had to share one."""
    first, alike = scans[0], ("size", "affine")
    one = all(scan[key] == first[key] for scan in scans for key in alike)
    if one or trained.resample == "world" or trained.registration != "none":
        return []
    return ["the sources lie on several grids, in training on one: they are brought together as their headers say"]
