"""Stored values of DICOM images to grey values: the modality's transformation, and what is no value at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from xmodbench.errors import UserError

# what stands for what was not scanned
_AIR = {"CT": -1000.0}


def grey_values(header: Dataset, stored: np.ndarray, path: Path, remarks: list[str]) -> np.ndarray:
    """Float32 [rows, columns] of one image's stored values, in HU for CT.

    Raises:
        UserError: the header does not say how, or says something that is none.
    """
    modality = str(header.get("Modality", ""))
    values = _transformed(header, stored, modality, path, remarks)
    padding = _padding(header, stored)
    if padding.any():
        values = np.where(padding, _AIR.get(modality, 0.0), values)
        _say(remarks, f"padding (PixelPaddingValue) is taken as {_AIR.get(modality, 0.0):g}")
    return values.astype(np.float32)


def _transformed(header: Dataset, stored: np.ndarray, modality: str, path: Path, remarks: list[str]) -> np.ndarray:
    linear = rescale(header, path)
    if header.get("ModalityLUTSequence"):
        _check_unit(modality, str(header.ModalityLUTSequence[0].get("ModalityLUTType") or ""), path, remarks)
        if linear is not None:
            _say(remarks, "of Modality LUT and Rescale Slope the table is used")
        return _by_table(header, stored, path)
    if linear is not None:
        _check_unit(modality, str(header.get("RescaleType") or ""), path, remarks)
    else:
        linear = _real_world(header, modality, path, remarks)
    if linear is None and modality == "CT":
        problem = "it does not say how its values become HU (no RescaleSlope and RescaleIntercept)"
        raise UserError(problem, path, "export the series again")
    slope, intercept = linear or (1.0, 0.0)
    return stored * slope + intercept


def rescale(header: Dataset, path: Path) -> tuple[float, float] | None:
    """Slope and intercept; None where there is neither."""
    given = [header.get(tag) for tag in ("RescaleSlope", "RescaleIntercept")]
    if given == [None, None]:
        return None
    try:
        slope, intercept = map(float, given)
    except (TypeError, ValueError):
        slope, intercept = np.nan, np.nan
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        problem = f"its RescaleSlope is {given[0]}, its RescaleIntercept {given[1]}"
        raise UserError(problem, path, "export the series again")
    return slope, intercept


def _check_unit(modality: str, unit: str, path: Path, remarks: list[str]) -> None:
    """What a CT's values are in; HU where nothing else is said."""
    if modality != "CT" or unit in ("", "HU"):
        return
    if unit != "US":
        raise UserError(f"its values are {unit}, not HU (RescaleType)", path, "export the series in HU")
    _say(remarks, "its values are of no stated unit (RescaleType US) and taken as HU")


def _by_table(header: Dataset, stored: np.ndarray, path: Path) -> np.ndarray:
    try:
        entries, first, bits = (int(value) for value in header.ModalityLUTSequence[0].LUTDescriptor)
        if stored.min() < 0 and first >= 1 << 15:
            header.ModalityLUTSequence[0].LUTDescriptor = [entries, first - (1 << 16), bits]
        return apply_modality_lut(stored, header).astype(np.float64)
    except Exception:  # pydicom raises whatever a broken table leads it to
        raise UserError("its Modality LUT Sequence cannot be used", path, "export the series again") from None


def _real_world(header: Dataset, modality: str, path: Path, remarks: list[str]) -> tuple[float, float] | None:
    """Slope and intercept of the Real World Value Mapping, for an image that gives no other."""
    items = header.get("RealWorldValueMappingSequence") or []
    if not items:
        return None
    try:
        slope, intercept = float(items[0].RealWorldValueSlope), float(items[0].RealWorldValueIntercept)
        unit = str(items[0].MeasurementUnitsCodeSequence[0].CodeValue)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise UserError(
            "its Real World Value Mapping is no slope and intercept", path, "export the series again"
        ) from None
    if len(items) > 1 or not np.isfinite([slope, intercept]).all() or slope == 0:
        raise UserError("its Real World Value Mapping is not one slope and intercept", path, "export the series again")
    if modality == "CT" and unit not in ("[hnsf'U]", "HU"):
        raise UserError(f"its values are in {unit}, not HU (Real World Value Mapping)", path, "export the series in HU")
    _say(remarks, f"its values are those of the Real World Value Mapping, in {unit}")
    return slope, intercept


def _padding(header: Dataset, stored: np.ndarray) -> np.ndarray:
    """Which pixels are none: those of the padding value, or between it and the limit of its range."""
    given = [header.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    try:
        values = [int(value) for value in given if value is not None]
    except (TypeError, ValueError):
        return np.zeros(stored.shape, bool)
    if given[0] is None:
        return np.zeros(stored.shape, bool)
    if header.get("PixelRepresentation"):
        values = [value - (1 << 16) if value >= 1 << 15 else value for value in values]
    return (stored >= min(values)) & (stored <= max(values))


def _say(remarks: list[str], clause: str) -> None:
    """Once for all slices."""
    if clause not in remarks:
        remarks.append(clause)
