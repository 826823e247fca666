"""Overlap of the organs that TotalSegmentator finds in translations and targets, where that program is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.metrics.field.structure import dice

PROGRAM = "TotalSegmentator"
TASKS = {True: "total", False: "total_mr"}
"""For a CT in HU, and for MR."""


class NotHere(Exception):
    """Organs cannot be had; the message is the one-line reason shown in the table."""


def organ_overlap(
    translation: np.ndarray,
    target: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    modality: str,
    hu: bool,
) -> float | None:
    """Mean Dice over the organs found in the target of one subject; None where it finds none there.

    Args:
        translation, target: the subject's slices, ``[N, H, W]`` in [0, 1].
        rows: of ``slices.csv``, as many.
        facts: what the store's manifest keeps of the subject's volumes.

    Raises:
        NotHere: the program is not installed, or the slices are no gapless volume.
        UserError: the program fails, or the store does not know where its slices were.
    """
    from xmodbench.data.volumes.nifti_writing import write_nifti
    from xmodbench.data.volumes.putting_back import Place, put_back, row_ends, row_index

    program = shutil.which(PROGRAM)
    if program is None:
        raise NotHere(
            f"{PROGRAM} is not installed (pip install TotalSegmentator, in an environment whose bin is in PATH)"
        )
    where = f"volume of {rows[0]['subject']}"
    indices = [row_index(row, where) for row in rows]
    if np.ptp(indices) != len(indices) - 1:
        raise NotHere("test slices have gaps between them, so they are no volumes")
    place, ends = Place.read(facts, where), [row_ends(row, modality, where) for row in rows]
    labels = []
    with tempfile.TemporaryDirectory(prefix="xmodbench-organs-") as folder:
        for name, images in (("translation", translation), ("target", target)):
            path = Path(folder) / f"{name}.nii.gz"
            write_nifti(path, put_back(images, indices, ends, place).image, None, name)
            labels.append(_segmented(program, path, TASKS[hu]))
    overlaps = [dice(labels[0] == organ, labels[1] == organ) for organ in np.unique(labels[1][labels[1] > 0])]
    found = [overlap for overlap in overlaps if overlap is not None]
    return float(np.mean(found)) if found else None


def _segmented(program: str, volume: Path, task: str) -> np.ndarray:
    import SimpleITK as sitk

    out = volume.with_name(f"{volume.name.partition('.')[0]}-organs.nii.gz")
    command = [
        program,
        "-i",
        str(volume),
        "-o",
        str(out),
        "--ml",
        "--fast",
        "--task",
        task,
        "--device",
        "cpu",
        "--quiet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(f"{PROGRAM} failed: {last}", volume.name, "run it by hand, or take it out of scoring.extra")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
