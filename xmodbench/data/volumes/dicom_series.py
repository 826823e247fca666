"""DICOM series: found by what their headers say, put in order by position, read as volumes.

File names and instance numbers are never trusted: they run against each other in some data sets.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.multival import MultiValue

from xmodbench.data.volumes.dicom_files import AGAIN, PROTOCOL, Slice, find_images, frames
from xmodbench.data.volumes.dicom_pixels import quality, read_file, stored_values
from xmodbench.data.volumes.dicom_stack import check_geometry, check_whole, numbering
from xmodbench.data.volumes.dicom_values import grey_values
from xmodbench.errors import UserError


@dataclass(frozen=True)
class Series:
    """The images of one series, in the order of their position along the slices' normal.

    ``damaged`` says of files beside them, which may be theirs, that they are not whole.
    """

    folder: Path
    modality: str
    description: str
    frame: str
    slices: tuple[Slice, ...]
    damaged: dict[Path, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return f"series '{self.description}' ({self.modality}, {len(self.slices)} slices)"

    @property
    def has_place(self) -> bool:
        """Whether any of its images says where it lies."""
        return any(not item.lacking for item in self.slices)

    def facts(self) -> dict[str, Any]:
        """What was chosen and how it was scanned; nothing about the patient."""
        protocol = {tag: _plain(self.slices[0].header, tag) for tag in PROTOCOL}
        known = {tag: value for tag, value in protocol.items() if value not in (None, "")}
        return {"description": self.description, "slices": len(self.slices), **known}


def _plain(header: pydicom.Dataset, tag: str) -> str | float | None:
    """A tag as text or number, several values joined as DICOM does; None where there is none that can be read."""
    try:
        value = getattr(header, tag, None)
        if isinstance(value, MultiValue):
            return "\\".join(map(str, value))
        return value if value is None or isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return None


def find_series(folder: Path) -> list[Series]:
    """All series of images below a folder; other objects (structures, transforms) and other files do not count.

    Raises:
        UserError: a DICOM file cannot be read, or there is no image at all.
    """
    images, damaged = find_images(folder)
    found: dict[str, list[Slice]] = defaultdict(list)
    for item in images:
        found[str(item.header.get("SeriesInstanceUID", ""))].append(item)
    if not any(not item.lacking for item in images):
        why = [f"{images[0].name} has no {' and no '.join(images[0].lacking)}"] if images else []
        why += [_listed(damaged)] if damaged else []
        what = f"no DICOM images here{' that say where they lie' if images else ''}"
        raise UserError(f"{what} ({'; '.join(why)})" if why else what, folder, AGAIN)
    occupied = {item.path.parent for item in images}
    series = []
    for _, slices in sorted(found.items()):
        folders = {item.path.parent for item in slices}
        # a folder without any image may have held this series
        near = {path: why for path, why in damaged.items() if path.parent in folders or path.parent not in occupied}
        series.append(_series(Path(folder), slices, near))
    return series


def _series(folder: Path, slices: list[Slice], damaged: dict[Path, str]) -> Series:
    header = slices[0].header
    try:
        normal = slices[0].axes[2]
        slices = sorted(slices, key=lambda item: float(item.origin @ normal))
    except UserError:
        pass  # told where the series is read, if it is
    description, frame = (str(getattr(header, tag, "")) for tag in ("SeriesDescription", "FrameOfReferenceUID"))
    return Series(folder, str(header.get("Modality", "")), description, frame, tuple(slices), damaged)


def choose_series(series: list[Series], modality: str, pattern: str) -> Series:
    """The one series of a modality whose description contains a regular expression, whatever its case.

    Raises:
        UserError: none or several do; the message lists what there is.
    """
    fitting = [s for s in series if s.modality == modality and re.search(pattern, s.description, re.IGNORECASE)]
    # pictures of the screen may have a series' name, but not its place
    fitting = [s for s in fitting if s.has_place] or fitting
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"'{s.description}'" for s in series if s.modality == modality and s.has_place) or "none"
    number = "no series" if not fitting else f"{len(fitting)} series"
    damaged = {path: why for s in series for path, why in s.damaged.items()}
    more = f"; {_listed(damaged)}" if damaged and not fitting else ""
    raise UserError(f"{number} like '{pattern}' among its {modality} series ({there}){more}", series[0].folder)


def read_series(series: Series, remark: Callable[[str], None] | None = None) -> sitk.Image:
    """The volume (float32, LPS world), in HU or whatever the header says.

    Args:
        remark: told, in a clause each, what was assumed or put right.

    Raises:
        UserError: the slices do not make up a volume, or their pixels cannot be read.
    """
    if series.damaged:
        raise UserError(f"{series.name} may not be whole: {_listed(series.damaged)}", series.folder, AGAIN)
    remarks: list[str] = []
    check_whole(series.name, series.slices)
    stack = check_geometry(series.name, series.slices, remarks)
    image = sitk.GetImageFromArray(_voxels(series, remarks))
    down, across = series.slices[0].plane[2:]
    image.SetSpacing((across, down, stack.step))
    image.SetOrigin(stack.origin.tolist())
    image.SetDirection(np.ravel(stack.axes.T).tolist())
    remarks += [clause] if (clause := numbering(series.slices)) else []
    for clause in remarks:
        if remark is not None:
            remark(clause)
    return image


def compact(image: sitk.Image) -> sitk.Image:
    """The image as int16 where that loses nothing (most scans hold whole numbers), else as it is."""
    small = sitk.Cast(image, sitk.sitkInt16)
    same = np.array_equal(sitk.GetArrayViewFromImage(small), sitk.GetArrayViewFromImage(image))
    return small if same else image


def _voxels(series: Series, remarks: list[str]) -> np.ndarray:
    """Grey values [z, y, x] of all slices; each file is read once."""
    rows, columns = series.slices[0].plane[:2]
    voxels = np.empty((len(series.slices), rows, columns), np.float32)
    by_file: dict[Path, list[int]] = defaultdict(list)
    for number, item in enumerate(series.slices):
        by_file[item.path].append(number)
    for path, numbers in by_file.items():
        file = read_file(path)
        stored, headers = stored_values(file, path), frames(path, file)
        if (clause := quality(file, path)) and clause not in remarks:
            remarks.append(clause)
        for number in numbers:
            frame = series.slices[number].frame or 0
            voxels[number] = grey_values(headers[frame].header, stored[frame], path, remarks)
    return voxels


def _listed(damaged: dict[Path, str]) -> str:
    """Files that are not whole, by what is wrong with them; the first few of many."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for path, why in sorted(damaged.items()):
        reasons[why].append(path.name)
    shown = (
        f"{why}: {', '.join(n[:5])}{f' and {len(n) - 5} more' if len(n) > 5 else ''}" for why, n in reasons.items()
    )
    return "; ".join(shown)
