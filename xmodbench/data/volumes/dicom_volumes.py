"""A patient's folder of DICOM files to volumes, one for each series that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.dicom import choose_series, compact, find_series, read_series
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
    if len(set(frames.values())) > 1:
        raise UserError(f"{' and '.join(frames)} are not in one frame of reference", folder, "take it out")
    for name, item in chosen.items():
        write_volume(compact(read_series(item)), out / f"{folder.name}-{name}.nii.gz")
    return {name: item.facts() for name, item in chosen.items()}
