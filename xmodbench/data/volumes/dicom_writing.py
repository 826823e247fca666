"""A translated volume as a DICOM series, derived from the one that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from xmodbench.data.volumes.dicom_files import Slice
from xmodbench.data.volumes.dicom_series import Series
from xmodbench.files import atomic_dir

ROOT = "1.2.826.0.1.3680043.8.498."
"""pydicom's own, for UIDs made by programs."""
OF_THE_PATIENT = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientSize", "PatientWeight", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription",
    "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition",
    "BodyPartExamined",
)  # fmt: skip
"""What the derived series shares with its source: patient, study and frame of reference; nothing of the scanner."""
MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
"""Has to be there, if only empty."""
CT_INTERCEPT, MOST = -1024.0, 32767
SERIES_NUMBER = 1000
"""Added to the source's."""


def write_derived(
    folder: Path, image: sitk.Image, series: Series, kind: str, description: str, entropy: Sequence[str]
) -> None:
    """Write one file per slice, named by its number; the folder appears when it is whole.

    Args:
        image: on the voxels of the series as `read_series` reads them: float32, CT in HU.
        kind: CT or MR, what the image is.
        description: what the series is called.
        entropy: words that are this result's alone; the UIDs are made of them, so that the same result has the same.
    """
    voxels = sitk.GetArrayFromImage(image)
    slope, intercept = scaling(voxels, kind)
    with atomic_dir(folder) as temporary:
        for number, (plane, item) in enumerate(zip(voxels, series.slices, strict=True)):
            first = pydicom.dcmread(item.path, stop_before_pixels=True)
            made = _object(first, item, kind, description, [*entropy, str(number)])
            made.SeriesInstanceUID = generate_uid(ROOT, [*entropy, "series"])
            made.InstanceNumber = number + 1
            made.Rows, made.Columns = plane.shape
            made.RescaleSlope, made.RescaleIntercept = f"{slope:.10g}"[:16], f"{intercept:.10g}"[:16]
            stored = np.round((plane.astype(np.float64) - float(made.RescaleIntercept)) / float(made.RescaleSlope))
            made.PixelData = np.clip(stored, -MOST - 1, MOST).astype("<i2").tobytes()
            middle, width = float(np.median(voxels)), float(np.ptp(voxels))
            made.WindowCenter, made.WindowWidth = (
                (40, 400) if kind == "CT" else (f"{middle:.6g}", f"{max(1.0, width):.6g}")
            )
            made.save_as(temporary / f"{number + 1:04d}.dcm", enforce_file_format=True)


def scaling(voxels: np.ndarray, kind: str) -> tuple[float, float]:
    """Slope and intercept between 16-bit numbers and values: whole HU for CT, else values over the whole of the numbers."""
    if kind == "CT":
        return 1.0, CT_INTERCEPT
    low, high = float(voxels.min()), float(voxels.max())
    return max(high - low, 1e-6) / MOST, low


def _object(source: Dataset, item: Slice, kind: str, description: str, entropy: list[str]) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CTImageStorage if kind == "CT" else MRImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid(ROOT, entropy)
    for word in OF_THE_PATIENT:
        if word in source:
            made[word] = source[word]
        elif word in MAY_BE_EMPTY:
            setattr(made, word, "")
    for word in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        if word in item.header:
            made[word] = item.header[word]
    if "SliceThickness" not in made:
        made.SliceThickness = None
    made.ImageType = ["DERIVED", "SECONDARY", "AXIAL"] if kind == "CT" else ["DERIVED", "SECONDARY", "OTHER"]
    made.Modality, made.SeriesDescription, made.DerivationDescription = kind, description[:64], description
    made.SeriesNumber = SERIES_NUMBER + int(source.get("SeriesNumber") or 0)
    made.Manufacturer, made.BurnedInAnnotation = "xmodbench", "NO"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    _say_how_acquired(made, kind)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    made.SourceImageSequence = Items([reference])
    return made


def _say_how_acquired(made: Dataset, kind: str) -> None:
    """What PS3.3 C.8.2.1 (CT) and C.8.3.1 (MR) want of every image (types 1 and 2), of one that no scanner acquired."""
    if kind == "CT":
        made.RescaleType, made.KVP, made.AcquisitionNumber = "HU", None, None
        return
    made.ScanningSequence, made.SequenceVariant = "RM", "NONE"  # research mode
    made.ScanOptions, made.MRAcquisitionType, made.EchoTime, made.EchoTrainLength = "", "", None, None
    made.RepetitionTime = None  # of type 2C: wanted of all but echo planar sequences
