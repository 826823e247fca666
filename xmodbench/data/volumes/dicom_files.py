"""The DICOM files of a folder: which are images, frame by frame, and which are not whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from xmodbench.errors import UserError

AGAIN = "delete the folder, then unpack the archive again or let `acquire` do it"
# of the scanner and its protocol, nothing of the patient
PROTOCOL = [
    "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength", "RepetitionTime", "EchoTime", "FlipAngle", "KVP",
    "ConvolutionKernel", "SliceThickness",
]  # fmt: skip
_TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "FrameOfReferenceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "ImageType", "InstanceNumber",
    "AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "ImagesInAcquisition", "ConcatenationUID",
    "InConcatenationTotalNumber", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *PROTOCOL,
]  # fmt: skip
# functional groups that are read as they are: their own items are the values
_WHOLE = {"RealWorldValueMappingSequence"}


@dataclass(frozen=True)
class Slice:
    """The header of one image: of a file, or of a frame of it with its functional groups laid open."""

    path: Path
    header: Dataset
    frame: int | None = None

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
        if min(down, across) <= 0:
            raise UserError(f"its PixelSpacing is {down:g} x {across:g} mm", self.path, AGAIN)
        return rows, columns, down, across

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name if self.frame is None else f"{self.path.name}, frame {self.frame + 1}"

    @property
    def has_place(self) -> bool:
        """Whether it says where it lies at all."""
        return {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"} <= set(self.header.dir())

    def _numbers(self, tag: str, count: int) -> np.ndarray:
        """The numbers [count] of a tag; a UserError names the file where they are not there."""
        try:
            values = np.atleast_1d(np.array(getattr(self.header, tag), float))
        except (AttributeError, TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise UserError(f"damaged DICOM file (no usable {tag})", self.path, AGAIN)
        return values


def find_images(folder: Path) -> tuple[list[Slice], dict[Path, str]]:
    """The images below a folder, and by their paths what is wrong with files that should be images and are not whole.

    Raises:
        UserError: a DICOM file cannot be read.
    """
    images: list[Slice] = []
    damaged: dict[Path, str] = {}
    others: dict[Path, str] = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith(".")):
        if path.stat().st_size == 0:
            others[path] = "empty"
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except InvalidDicomError:
            others[path] = "named like an image, but no DICOM file"
            continue
        except Exception:  # pydicom raises whatever a broken file leads it to
            raise UserError("damaged DICOM file (its header cannot be read)", path, AGAIN) from None
        if not _is_image(header):
            continue
        if {"Rows", "Columns", "SeriesInstanceUID"} <= set(header.dir()):
            images += frames(path, header)
        else:
            damaged[path] = "cut short in the header"
    endings, shapes = {_ending(item.path) for item in images}, {_shape(item.path) for item in images}
    for path, problem in others.items():
        same = _ending(path) in endings - {""} or _shape(path) in shapes
        if same or (problem == "empty" and _ending(path) in {*endings, ".dcm", ".ima"}):
            damaged[path] = problem
    return images, damaged


def frames(path: Path, header: Dataset) -> list[Slice]:
    """The slice of a plain image; of an enhanced one a slice for each frame, its functional groups laid open.

    Raises:
        UserError: functional groups and frames of an enhanced image differ in number.
    """
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [Slice(path, header)]
    groups = header.PerFrameFunctionalGroupsSequence
    count = int(header.get("NumberOfFrames") or 0)
    if len(groups) != count:
        raise UserError(f"it holds {count} frames, but describes {len(groups)}", path, AGAIN)
    common = Dataset()
    common.update({e.tag: e for e in header if e.VR != "SQ" and e.keyword != "NumberOfFrames"})
    for item in header.get("SharedFunctionalGroupsSequence") or []:
        common.update(_laid_open(item))
    slices = []
    for number, item in enumerate(groups):
        own = Dataset()
        own.update(common)
        own.update(_laid_open(item))
        slices.append(Slice(path, own, number))
    return slices


def _laid_open(item: Dataset) -> Dataset:
    """What stands in the functional groups of a frame, in one level."""
    flat = Dataset()
    for element in item:
        if element.VR == "SQ" and element.keyword not in _WHOLE:
            for inner in element.value[:1]:
                flat.update(inner)
        else:
            flat.add(element)
    return flat


def _is_image(header: Dataset) -> bool:
    """By the class that the file states, else by what it holds; a file that states neither is none that is whole."""
    uid = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if uid:
        known = pydicom.uid.UID(uid)
        # the names of private classes are their numbers
        return "Image Storage" in known.name if known.name != known else "Rows" in header
    return "Rows" in header or not header.get("Modality")


def _ending(path: Path) -> str:
    """The suffix of a file name, if it has letters: numbers after a full stop are none."""
    suffix = path.suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z]+", suffix) else ""


def _shape(path: Path) -> str:
    """A file name without its numbers."""
    return re.sub(r"\d+", "#", path.name.lower())
