"""Writing simulated volumes as DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage

ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's own, for UIDs made by programs
CT_INTERCEPT = -1024
_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "RTSTRUCT": RTStructureSetStorage}


@dataclass(frozen=True)
class SeriesHeader:
    """What the headers of one series say."""

    patient: str
    modality: str
    description: str
    number: int
    frame: str
    protocol: dict[str, str | float] = field(default_factory=dict)

    def uid(self, *parts: object) -> str:
        """A UID that depends on these words only, so that the same seed gives the same files."""
        names = [self.patient, self.modality, self.description, *map(str, parts)]
        return str(pydicom.uid.generate_uid(ROOT, names))


def write_series(folder: Path, image: sitk.Image, header: SeriesHeader, order: Sequence[int] | None = None) -> None:
    """Write one file per slice, named by a running number.

    Args:
        image: int16 volume; CT in HU (stored with an intercept of -1024).
        order: number in the file's name of each slice from below; rising if left out. Instance numbers rise always.
    """
    voxels = sitk.GetArrayFromImage(image)
    intercept = CT_INTERCEPT if header.modality == "CT" else 0
    for index, plane in enumerate(voxels):
        item = _object(header, index)
        item.update(_geometry(image, index))
        item.Rows, item.Columns = plane.shape
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 1
        item.RescaleSlope, item.RescaleIntercept = 1, intercept
        item.PixelData = (plane.astype(np.int32) - intercept).astype("<i2").tobytes()
        number = index if order is None else order[index]
        name = f"{header.modality}.{header.number:02d}.{number + 1:04d}.dcm"
        item.save_as(folder / name, enforce_file_format=True)


def write_other(folder: Path, header: SeriesHeader) -> None:
    """Write an object without an image (structures)."""
    _object(header, 0).save_as(folder / f"{header.modality}.{header.number:02d}.dcm", enforce_file_format=True)


def _object(header: SeriesHeader, index: int) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = _CLASSES[header.modality]
    item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = UID(header.uid("image", index))
    item.PatientID = item.PatientName = header.patient
    item.Modality, item.SeriesDescription, item.SeriesNumber = header.modality, header.description, header.number
    item.StudyInstanceUID = str(pydicom.uid.generate_uid(ROOT, [header.patient, "study"]))
    item.SeriesInstanceUID = header.uid("series")
    item.FrameOfReferenceUID = str(pydicom.uid.generate_uid(ROOT, [header.patient, "frame", header.frame]))
    item.InstanceNumber = index + 1
    item.Manufacturer = "simulated"
    for tag, value in header.protocol.items():
        setattr(item, tag, value)
    return item


def _geometry(image: sitk.Image, index: int) -> pydicom.Dataset:
    direction = np.reshape(image.GetDirection(), (3, 3))
    item = pydicom.Dataset()
    item.ImagePositionPatient = [f"{v:.6g}" for v in image.TransformIndexToPhysicalPoint((0, 0, index))]
    item.ImageOrientationPatient = [f"{v:.8g}" for v in (*direction[:, 0], *direction[:, 1])]
    across, down, step = image.GetSpacing()
    item.PixelSpacing, item.SliceThickness = [f"{down:.8g}", f"{across:.8g}"], f"{step:.8g}"
    return item
