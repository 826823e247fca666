"""Small DICOM series of one volume, plain or enhanced, that tests change tag by tag."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from xmodbench.data.volumes.dicom_series import choose_series, find_series, read_series
from xmodbench.errors import UserError

SLICES, ROWS, COLUMNS = 5, 6, 7
STORED = (np.arange(SLICES * ROWS * COLUMNS).reshape(SLICES, ROWS, COLUMNS) * 7 % 1500).astype(np.uint16)
DOWN, ACROSS, STEP = 2.0, 1.5, 3.0
ORIGIN = np.array([-10.0, -20.0, -30.0])
PLAIN = {"CT": CTImageStorage, "MR": MRImageStorage}
ENHANCED = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage}


def position(index: int) -> list[float]:
    """Of a slice, LPS mm."""
    return (ORIGIN + np.array([0, 0, STEP * index])).tolist()


def general(modality: str, sop: str, index: int, description: str) -> Dataset:
    """What plain and enhanced images have in common."""
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = sop
    uid = generate_uid(entropy_srcs=[description, str(index)])
    item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = uid
    item.Modality, item.SeriesDescription, item.PatientID = modality, description, "MADE-UP"
    item.SeriesInstanceUID = generate_uid(entropy_srcs=[description])
    item.StudyInstanceUID, item.FrameOfReferenceUID = "1.2.3", "1.2.3.4"
    item.InstanceNumber, item.ImageType = index + 1, ["ORIGINAL", "PRIMARY", "M"]
    item.Rows, item.Columns, item.SamplesPerPixel, item.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
    return item


def write_plain(
    folder: Path, modality: str = "MR", tweak: Callable[[int, Dataset], None] | None = None, description: str = "T1 tra"
) -> list[Path]:
    """A file per slice; `tweak` is given each slice's number and header."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(SLICES):
        item = general(modality, PLAIN[modality], index, description)
        item.ImagePositionPatient, item.ImageOrientationPatient = position(index), [1, 0, 0, 0, 1, 0]
        item.PixelSpacing, item.SliceThickness = [DOWN, ACROSS], STEP
        item.RescaleSlope, item.RescaleIntercept = 1, -1024 if modality == "CT" else 0
        item.PixelData = STORED[index].tobytes()
        if tweak is not None:
            tweak(index, item)
        paths.append(folder / f"IM{index:03d}.dcm")
        item.save_as(paths[-1], enforce_file_format=True)
    return paths


def group(**tags: object) -> Dataset:
    """A data set of these tags."""
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return item


def write_enhanced(
    path: Path, modality: str = "MR", tweak: Callable[[Dataset], None] | None = None, order=range(SLICES)
) -> Path:
    """One file, with shared and per-frame functional groups; `order` is the slice of each frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    item = general(modality, ENHANCED[modality], 0, "T1 tra")
    item.NumberOfFrames = len(order)
    item.SharedFunctionalGroupsSequence = [
        group(
            PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[group(PixelSpacing=[DOWN, ACROSS], SliceThickness=STEP)],
        )
    ]
    item.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence=[group(ImagePositionPatient=position(index))],
            FrameContentSequence=[group(StackID="1", InStackPositionNumber=index + 1, TemporalPositionIndex=1)],
            PixelValueTransformationSequence=[
                group(RescaleSlope=index + 1, RescaleIntercept=-1024 if modality == "CT" else 0, RescaleType="HU")
            ],
        )
        for index in order
    ]
    item.PixelData = np.stack([STORED[index] for index in order]).tobytes()
    if tweak is not None:
        tweak(item)
    item.save_as(path, enforce_file_format=True)
    return path


def edit(path: Path, **tags: object) -> None:
    """Set tags of a file; None deletes one."""
    item = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(item, name)
        else:
            setattr(item, name, value)
    item.save_as(path)


def read(folder, modality="MR"):
    """Voxels, image, and what was said."""
    said = []
    image = read_series(choose_series(find_series(folder), modality, "T1"), said.append)
    return sitk.GetArrayFromImage(image), image, "; ".join(said)


def refused(folder, expected, modality="MR"):
    with pytest.raises(UserError, match=expected) as caught:
        read(folder, modality)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text and not re.search(r"\w+Error", text)
    assert "IM" in text or "enhanced" in text


def tags(**given):
    """A tweak that sets tags of every slice; what is callable is given the slice's number; None deletes one."""

    def tweak(index, item):
        for name, value in given.items():
            value = value(index) if callable(value) else value
            if value is not None:
                setattr(item, name, value)
            elif name in item:
                delattr(item, name)

    return tweak


def only(number, **given):
    return lambda index, item: tags(**given)(index, item) if index == number else None
