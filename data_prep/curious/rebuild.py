"""The like of EASY-RESECT made from RESECT: both scans around the middle of the ultrasound volume."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.download.obtain import obtain
from xmodbench.download.remote import RemoteFile
from xmodbench.errors import UserError
from xmodbench.files import write_json
from xmodbench.progress import Progress
from xmodbench.volumes.io import read_volume, write_volume
from xmodbench.volumes.resample import resample

FOLDER = "RESECT-resized"
SIZE, SPACING_MM = (256, 256, 288), 0.5
FRAME = "US-before"


def rebuild(raw_dir: Path, cases: Mapping[str, Mapping[str, RemoteFile]], progress: Progress) -> None:
    """Write ``RESECT-resized/NIFTI/<case>/<case>-<scan>-resize.nii`` of every case that the archive has.

    Args:
        raw_dir: the originals are fetched into its folder ``NIFTI`` where they are not there yet.
        cases: the originals of each case, with the ultrasound volume ``US-before`` among them.

    Raises:
        UserError: an original cannot be had for another reason than that there is none.
    """
    for case, files in progress.track(cases.items(), "resample RESECT", total=len(cases)):
        targets = {
            name: raw_dir / FOLDER / "NIFTI" / case / f"{case}-{name}-resize.nii" for name in files if name != FRAME
        }
        if all(path.is_file() for path in targets.values()):
            continue
        try:
            paths = {name: obtain(file, raw_dir, progress) for name, file in files.items()}
        except UserError as error:
            if not re.search(r"\(404\)", error.what):
                raise
            progress.say(f"{case} is not complete in the archive and left out: {error.what}")
            continue
        grid = frame_grid(read_volume(paths[FRAME]))
        for name, target in targets.items():
            write_volume(resample(read_volume(paths[name]), grid), target)
    if not list((raw_dir / FOLDER).rglob("*.nii")):
        raise UserError("has none of the cases", "archive")
    about = "made of RESECT (doi 10.11582/2017.00004) by linear interpolation; not the published EASY-RESECT"
    facts = {"about": about, "size": SIZE, "spacing_mm": SPACING_MM, "centre_and_axes": FRAME}
    write_json(raw_dir / FOLDER / "about.json", facts)


def frame_grid(frame: sitk.Image) -> sitk.Image:
    """EASY-RESECT's grid (256 x 256 x 288 voxels of 0.5 mm) along the axes of a volume and around its middle."""
    grid = sitk.Image(SIZE, sitk.sitkUInt8)
    grid.SetSpacing([SPACING_MM] * 3)
    grid.SetDirection(frame.GetDirection())
    middle = frame.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in frame.GetSize()])
    half = np.subtract(SIZE, 1) * SPACING_MM / 2
    grid.SetOrigin((np.array(middle) - np.reshape(frame.GetDirection(), (3, 3)) @ half).tolist())
    return grid
