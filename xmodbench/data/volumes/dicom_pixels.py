"""Pixels of DICOM images: decoded, and held against the length and the bits that the header states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, RLELossless

from xmodbench.data.volumes.dicom_files import AGAIN, TAGS, frame_count, read_tags
from xmodbench.data.volumes.dicom_values import rescale
from xmodbench.errors import UserError

_KEYWORDS = [
    "PixelData", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "RealWorldValueMappingSequence", "LossyImageCompression",
]  # fmt: skip
_OVERLAYS = [0x60000010 + (group << 17) for group in range(16)]
_TAGS = [*TAGS, *(tag_for_keyword(word) or 0 for word in _KEYWORDS), *_OVERLAYS]
_END_OF_IMAGE = b"\xff\xd9"


def read_file(path: Path) -> FileDataset:
    """A DICOM file with its pixels and all that decides what they mean.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return read_tags(path, _TAGS, pixels=True)
    except InvalidDicomError:
        raise UserError("damaged DICOM file (its header cannot be read)", path, AGAIN) from None


def stored_values(file: FileDataset, path: Path) -> np.ndarray:
    """Stored values [frames, rows, columns] as integers.

    Raises:
        UserError: they are in colour, of another kind or length than the header says, or cannot be decoded here.
    """
    _check_grey(file, path)
    frames = frame_count(file)
    if file.file_meta.TransferSyntaxUID.is_compressed:
        values = _decompressed(file, path, frames)
    else:
        needed, there = frames * file.Rows * file.Columns * file.BitsAllocated // 8, len(file.PixelData)
        if there < needed:
            raise UserError(f"truncated: {there:,} of {needed:,} bytes of pixels are there", path, AGAIN)
        if there > needed + 1 and file.PixelData[needed:].strip(b"\0"):
            raise UserError(f"holds {there:,} bytes of pixels where its header says {needed:,}", path, AGAIN)
        # not by pydicom, which takes the bits above those stated away
        order = "<" if file.file_meta.TransferSyntaxUID.is_little_endian else ">"
        kind = f"{order}{'i' if file.PixelRepresentation else 'u'}{file.BitsAllocated // 8}"
        values = np.frombuffer(file.PixelData[:needed], kind)
    values = np.reshape(values, (frames, file.Rows, file.Columns))
    return _used_bits(file, values, path)


def quality(file: FileDataset, path: Path) -> str | None:
    """A clause where an image's grey values have been through more than the scanner.

    Raises:
        UserError: it is a picture of the screen.
    """
    if "Secondary Capture" in UID(str(file.get("SOPClassUID") or "")).name:
        if file.BitsAllocated == 8:
            problem = "it is a secondary capture of 8 bits, whose grey values are those of a screen"
            raise UserError(problem, path, "export the original series")
        return "its images are secondary captures, whose grey values need not be the scanner's"
    return "its images have been compressed with loss" if file.get("LossyImageCompression") == "01" else None


def _check_grey(file: FileDataset, path: Path) -> None:
    lacking = [
        tag for tag in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation") if file.get(tag) is None
    ]
    if lacking or "PixelData" not in file:
        raise UserError(f"damaged DICOM file (no {lacking[0] if lacking else 'PixelData'})", path, AGAIN)
    kind = str(file.get("PhotometricInterpretation") or "")
    if not kind:
        raise UserError("damaged DICOM file (no PhotometricInterpretation)", path, AGAIN)
    if int(file.get("SamplesPerPixel") or 1) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise UserError(f"it is in colour ({kind})", path, "export it in grey (MONOCHROME2)")
    if kind == "MONOCHROME1":
        raise UserError("its greys are inverted (MONOCHROME1)", path, "export it as MONOCHROME2")
    if file.BitsAllocated not in (8, 16, 32):
        raise UserError(f"it has {file.BitsAllocated} bits per pixel", path, "export it with 16")
    syntax = file.file_meta.get("TransferSyntaxUID")
    if syntax is None or not UID(str(syntax)).is_transfer_syntax:
        raise UserError("damaged DICOM file (no TransferSyntaxUID)", path, AGAIN)


def _by_pydicom(file: FileDataset, path: Path) -> np.ndarray:
    try:
        return file.pixel_array
    except Exception:  # as above
        raise UserError("damaged DICOM file (its pixels cannot be decoded)", path, AGAIN) from None


def _decompressed(file: FileDataset, path: Path, frames: int) -> np.ndarray:
    """Stored values of a compressed image; decoders fill what is missing, so its end is looked for first."""
    syntax = file.file_meta.TransferSyntaxUID
    try:
        encoded = list(generate_frames(file.PixelData, number_of_frames=frames))
    except Exception:  # as above
        raise UserError("damaged DICOM file (its compressed pixels are cut short)", path, AGAIN) from None
    if syntax == RLELossless:
        return _by_pydicom(file, path)
    if len(encoded) != frames or any(not item.rstrip(b"\0").endswith(_END_OF_IMAGE) for item in encoded):
        raise UserError("truncated: its compressed pixels end early", path, AGAIN)
    # GDCM reads more kinds than pydicom alone, of plain images, and applies slope and intercept
    values = _by_gdcm(file, path) if "PerFrameFunctionalGroupsSequence" not in file else None
    if values is not None:
        return values
    try:
        return file.pixel_array
    except Exception:  # as above
        problem = f"its pixels are compressed ({syntax.name}), which is not read here"
        raise UserError(problem, path, "decompress it (dcmdjpeg, gdcmconv --raw)") from None


def _by_gdcm(file: FileDataset, path: Path) -> np.ndarray | None:
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat64)
    except RuntimeError:
        return None
    if image.GetNumberOfComponentsPerPixel() > 1:
        return None
    slope, intercept = rescale(file, path) or (1.0, 0.0)
    return np.rint((sitk.GetArrayFromImage(image) - intercept) / slope).astype(np.int64)


def _used_bits(file: FileDataset, values: np.ndarray, path: Path) -> np.ndarray:
    """Values of the bits that are used, with their sign; what stands in the others is an overlay, or wrong."""
    stored, high, signed = int(file.BitsStored), int(file.HighBit), bool(file.PixelRepresentation)
    if not 1 <= stored <= high + 1 <= file.BitsAllocated:
        raise UserError(f"BitsStored {stored} and HighBit {high} contradict each other", path, AGAIN)
    wide = values.astype(np.int64)
    shifted = (wide >> (high + 1 - stored)) & ((1 << stored) - 1)
    used = shifted - ((shifted >> (stored - 1)) << stored) if signed else shifted
    if high + 1 > stored or any(0x6000 <= element.tag.group <= 0x60FF for element in file):
        return used
    # some write a negative value without its sign in the unused bits
    extended = wide if not signed or wide.min() < 0 else used
    padding = file.get("PixelPaddingValue")
    is_padding = (wide - padding) % (1 << int(file.BitsAllocated)) == 0 if isinstance(padding, int) else np.False_
    if ((used != extended) & ~is_padding).any():
        raise UserError(f"its pixels have more than the {stored} bits that it states", path, "correct BitsStored")
    return np.where(is_padding, wide, used)
