"""A patient's folder of DICOM files to volumes, one for each series that is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from xmodbench.data.volumes.dicom_files import AGAIN
from xmodbench.data.volumes.dicom_series import Series, choose_series, compact, find_series, read_series
from xmodbench.data.volumes.io import write_volume
from xmodbench.errors import UserError


def convert_patient(folder: Path, out: Path, rules: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Write ``<out>/<folder's name>-<volume>.nii.gz`` for each rule.

    Args:
        rules: by the volume's name: the series' modality and a regular expression of its description.

    Returns:
        By the volume's name, what was chosen and how it was scanned.

    Raises:
        UserError: a series is missing, ambiguous or damaged, or they do not share a frame of reference.
    """
    there = find_series(folder)
    chosen = {name: choose_series(there, *rule) for name, rule in rules.items()}
    frames = {name: item.frame for name, item in chosen.items()}
    unstated = [name for name, frame in frames.items() if not frame]
    if unstated and len(frames) > 1:
        problem = f"{' and '.join(unstated)}: no FrameOfReferenceUID says whether they lie in one space with the others"
        raise UserError(problem, chosen[unstated[0]].slices[0].path, "export the series again, or take the patient out")
    if len(set(frames.values())) > 1:
        raise UserError(f"{' and '.join(frames)} are not in one frame of reference", folder, "take it out")
    facts = {}
    for name, item in chosen.items():
        remarks: list[str] = []
        image = _read(item, remarks)
        write_volume(compact(image), out / f"{folder.name}-{name}.nii.gz")
        facts[name] = {**item.facts(), **({"remarks": remarks} if remarks else {})}
    return facts


def convert_series(folder: Path, out: Path, pattern: str | None = None) -> tuple[Series, list[str]]:
    """Write the one series of a folder as a volume.

    Args:
        pattern: regular expression of its description, where there are several.

    Returns:
        What was chosen, and what was assumed or put right.

    Raises:
        UserError: there is none, there are several, or it is damaged.
    """
    try:
        wanted = re.compile(pattern or "", re.IGNORECASE)
    except re.error as error:
        raise UserError(f"'{pattern}' is no regular expression ({error})", "--series") from None
    there = [item for item in find_series(folder) if item.has_place]
    chosen = [item for item in there if wanted.search(item.description)]
    if len(chosen) != 1:
        listed = ", ".join(f"'{item.description}' ({item.modality}, {len(item.slices)} slices)" for item in there)
        problem = (
            f"{len(chosen)} series{'' if pattern is None else f' like {pattern!r}'}, where one is to be translated"
        )
        raise UserError(f"{problem}: there are {listed}", folder, "name it with --series, by its description")
    remarks: list[str] = []
    write_volume(compact(_read(chosen[0], remarks)), out)
    return chosen[0], remarks


def _read(series: Series, remarks: list[str]) -> sitk.Image:
    try:
        return read_series(series, remarks.append)
    except RuntimeError as error:  # of a library, over a header that is odd in a way not foreseen
        reason = " ".join(str(error).split())[-160:]
        raise UserError(f"{series.name} cannot be read ({reason})", series.slices[0].path, AGAIN) from None
