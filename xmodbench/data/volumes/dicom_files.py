"""The DICOM files of a folder: which are images, frame by frame, and which are not whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from xmodbench.errors import UserError
from xmodbench.files import files_below

AGAIN = "delete the folder, then unpack the archive again or let `acquire` do it"
# of the scanner and its protocol, nothing of the patient
PROTOCOL = [
    "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength", "RepetitionTime", "EchoTime", "FlipAngle", "KVP",
    "ConvolutionKernel", "SliceThickness",
]  # fmt: skip
_KEYWORDS = [
    "SOPClassUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "FrameOfReferenceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "ImageType", "InstanceNumber",
    "AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "ImagesInAcquisition", "ConcatenationUID",
    "InConcatenationTotalNumber", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *PROTOCOL,
]  # fmt: skip
TAGS = [tag_for_keyword(word) or 0 for word in _KEYWORDS]
# functional groups that are read as they are: their own items are the values
_WHOLE = {"RealWorldValueMappingSequence"}
_OPENED = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames"}


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
    def lacking(self) -> list[str]:
        """The tags of its place that are not there."""
        if "PerFrameFunctionalGroupsSequence" in self.header:
            return []
        return [t for t in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing") if t not in self.header]

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
    for path in sorted(path for path in files_below(folder) if path.is_file()):
        if path.stat().st_size == 0:
            others[path] = "empty"
            continue
        try:
            header = read_tags(path, TAGS, pixels=False)
        except InvalidDicomError:
            others[path] = "named like an image, but no DICOM file"
            continue
        if {"Rows", "Columns", "SeriesInstanceUID"} <= set(header.dir()):
            images += frames(path, header)
        elif (image := _is_image(header)) is not False:
            (damaged if image else others)[path] = "cut short in the header"
    endings, shapes = {_ending(item.path) for item in images}, {_shape(item.path) for item in images}
    for path, problem in others.items():
        same = _ending(path) in endings - {""} or _shape(path) in shapes
        if same or (problem == "empty" and _ending(path) in {*endings, ".dcm", ".ima"}):
            damaged[path] = problem
    return images, damaged


def read_tags(path: Path, tags: Sequence[int], *, pixels: bool) -> FileDataset:
    """Some tags of a DICOM file, all of them decoded: pydicom does so when they are asked for, and stumbles then.

    Raises:
        InvalidDicomError: it is no DICOM file.
        UserError: it cannot be read.
    """
    try:
        file = pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=[*tags])
        for _ in (*file.file_meta, *file):
            pass
        frames(path, file)
    except InvalidDicomError:
        raise
    except Exception:  # pydicom raises whatever a broken file leads it to
        raise UserError("damaged DICOM file (its header cannot be read)", path, AGAIN) from None
    return file


def frames(path: Path, header: Dataset) -> list[Slice]:
    """The slice of a plain image; of an enhanced one a slice for each frame, its functional groups laid open.

    One that describes another number of frames than it holds comes as it is; `check_whole` refuses it.
    """
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    if not groups or len(groups) != frame_count(header):
        return [Slice(path, header)]
    common = Dataset()
    common.update({element.tag: element for element in header if element.keyword not in _OPENED})
    for item in header.get("SharedFunctionalGroupsSequence") or []:
        common.update(_laid_open(item))
    slices = []
    for number, item in enumerate(groups):
        own = Dataset()
        own.update(common)
        own.update(_laid_open(item))
        slices.append(Slice(path, own, number))
    return slices


def frame_count(header: Dataset) -> int:
    """How many frames a file holds, by its header; 1 where it does not say."""
    try:
        return int(header.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        return 0


def _laid_open(item: Dataset) -> Dataset:
    """What stands in the functional groups of a frame, in one level."""
    flat = Dataset()
    for element in _public(item):
        if element.VR == "SQ" and element.keyword not in _WHOLE:
            for inner in element.value[:1]:
                flat.update({deeper.tag: deeper for deeper in _public(inner)})
        else:
            flat.add(element)
    return flat


def _public(item: Dataset) -> Iterator[DataElement]:
    """Its elements, decoded; what makers add of their own need not be sound."""
    return (item[tag] for tag in sorted(item.keys()) if not tag.is_private)


def _is_image(header: Dataset) -> bool | None:
    """Whether a file says that it is an image; None where it does not say what it is, as one cut short may not."""
    stated = (header.file_meta.get("MediaStorageSOPClassUID"), header.get("SOPClassUID"))
    # the names of classes that are not known are their numbers
    names = [known.name for uid in stated if uid and (known := UID(str(uid))).name != known]
    return "Image Storage" in names[0] if names else None


def _ending(path: Path) -> str:
    """The suffix of a file name, if it has letters: numbers after a full stop are none."""
    suffix = path.suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z]+", suffix) else ""


def _shape(path: Path) -> str:
    """A file name without its numbers."""
    return re.sub(r"\d+", "#", path.name.lower())
