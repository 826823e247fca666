"""DICOM series: found by what their headers say, put in order by position, read as volumes.

File names and instance numbers are never trusted: they run against each other in some data sets.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from xmodbench.errors import UserError

# shares of a pixel and of the slice distance by which slices may be off
_SAME, _EVEN = 1e-3, 0.05
_TAGS = [
    "SeriesInstanceUID", "Modality", "SeriesDescription", "FrameOfReferenceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "Manufacturer", "ManufacturerModelName",
    "MagneticFieldStrength", "RepetitionTime", "EchoTime", "FlipAngle", "KVP", "ConvolutionKernel", "SliceThickness",
]  # fmt: skip
# of the scanner and its protocol, nothing of the patient
_PROTOCOL = _TAGS[9:]
_AGAIN = "delete the folder, then unpack the archive again or let `acquire` do it"


@dataclass(frozen=True)
class Slice:
    """The header of one image file."""

    path: Path
    header: pydicom.Dataset

    @cached_property
    def axes(self) -> np.ndarray:
        """Direction cosines [3, 3]: along a row, along a column, and their normal."""
        row, column = np.reshape(self._numbers("ImageOrientationPatient", 6), (2, 3))
        return np.stack([row, column, np.cross(row, column)])

    @cached_property
    def origin(self) -> np.ndarray:
        """Centre of the first pixel, LPS mm."""
        return self._numbers("ImagePositionPatient", 3)

    @cached_property
    def plane(self) -> tuple[int, int, float, float]:
        """Rows, columns and the distances between them, mm."""
        down, across = map(float, self._numbers("PixelSpacing", 2))
        rows, columns = (int(self._numbers(tag, 1)[0]) for tag in ("Rows", "Columns"))
        return rows, columns, down, across

    def _numbers(self, tag: str, count: int) -> np.ndarray:
        """The numbers [count] of a tag; a UserError names the file where they are not there."""
        try:
            values = np.atleast_1d(np.array(getattr(self.header, tag), float))
        except (AttributeError, TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise UserError(f"damaged DICOM file (no usable {tag})", self.path, _AGAIN)
        return values


@dataclass(frozen=True)
class Series:
    """The images of one series, in the order of their position along the slices' normal."""

    folder: Path
    modality: str
    description: str
    frame: str
    slices: tuple[Slice, ...]

    @property
    def name(self) -> str:
        """For messages."""
        return f"series '{self.description}' ({self.modality}, {len(self.slices)} slices)"

    def facts(self) -> dict[str, Any]:
        """What was chosen and how it was scanned; nothing about the patient."""
        protocol = {tag: _plain(self.slices[0].header, tag) for tag in _PROTOCOL}
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
    found: dict[str, list[Slice]] = defaultdict(list)
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except InvalidDicomError:
            continue
        except Exception as error:  # pydicom raises whatever a broken file leads it to
            raise UserError(f"damaged DICOM file ({type(error).__name__})", path, _AGAIN) from None
        if {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"} <= set(header.dir()):
            found[str(header.get("SeriesInstanceUID", ""))].append(Slice(path, header))
    if not found:
        raise UserError("no DICOM images here", folder, _AGAIN)
    return [_series(Path(folder), slices) for _, slices in sorted(found.items())]


def _series(folder: Path, slices: list[Slice]) -> Series:
    normal, header = slices[0].axes[2], slices[0].header
    ordered = sorted(slices, key=lambda item: float(item.origin @ normal))
    description, frame = (str(getattr(header, tag, "")) for tag in ("SeriesDescription", "FrameOfReferenceUID"))
    return Series(folder, str(header.get("Modality", "")), description, frame, tuple(ordered))


def choose_series(series: list[Series], modality: str, pattern: str) -> Series:
    """The one series of a modality whose description contains a regular expression, whatever its case.

    Raises:
        UserError: none or several do; the message lists what there is.
    """
    fitting = [s for s in series if s.modality == modality and re.search(pattern, s.description, re.IGNORECASE)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"'{s.description}'" for s in series if s.modality == modality) or "none"
    number = "no series" if not fitting else f"{len(fitting)} series"
    raise UserError(f"{number} like '{pattern}' among its {modality} series ({there})", series[0].folder)


def read_series(series: Series) -> sitk.Image:
    """The volume (float32, LPS world), rescaled to HU or whatever the header says, once.

    Raises:
        UserError: the slices do not make up a volume, or their pixels cannot be read.
    """
    step = _check_geometry(series)
    first = series.slices[0]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(item.path) for item in series.slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)  # GDCM has applied slope and intercept
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:160]
        raise UserError(f"{series.name} cannot be read ({reason})", series.folder, _AGAIN) from None
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UserError(f"{series.name} is in colour", series.folder)
    # from the headers: ITK takes the distance of slices from the first two only
    down, across = first.plane[2:]
    image.SetSpacing((across, down, step))
    image.SetOrigin(first.origin.tolist())
    image.SetDirection(np.ravel(first.axes.T).tolist())
    return image


def compact(image: sitk.Image) -> sitk.Image:
    """The image as int16 where that loses nothing (most scans hold whole numbers), else as it is."""
    small = sitk.Cast(image, sitk.sitkInt16)
    same = np.array_equal(sitk.GetArrayViewFromImage(small), sitk.GetArrayViewFromImage(image))
    return small if same else image


def _check_geometry(series: Series) -> float:
    """Distance between slices, mm; raises UserError where they are not parallel, alike and evenly spaced."""
    slices, first = series.slices, series.slices[0]
    if len(slices) < 2:
        raise UserError(f"{series.name} is no volume", series.folder)
    if any(item.plane != first.plane or np.abs(item.axes - first.axes).max() > _SAME for item in slices):
        raise UserError(f"{series.name} has slices of different size or direction", series.folder)
    places = np.array([item.origin @ first.axes[2] for item in slices])
    gaps = np.diff(places)
    step = float(np.median(gaps))
    if step <= 0 or gaps.min() < _EVEN * step:
        raise UserError(f"{series.name} has two slices in one place", series.folder)
    odd = int(np.argmax(np.abs(gaps - step)))
    if abs(gaps[odd] - step) > _EVEN * step:
        problem = f"{series.name} has a gap of {gaps[odd]:.2f} mm after {places[odd]:.1f} mm, elsewhere {step:.2f}"
        raise UserError(problem, series.folder, f"a slice is missing: {_AGAIN}")
    drift = np.abs((slices[-1].origin - first.origin) @ first.axes[:2].T).max()
    if drift > 0.5:
        raise UserError(f"{series.name} leans by {drift:.1f} mm from first to last slice", series.folder)
    # over the whole stack, so that rounded positions do not add up
    return float((places[-1] - places[0]) / (len(slices) - 1))
