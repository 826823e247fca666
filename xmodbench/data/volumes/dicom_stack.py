"""Whether the slices of a series are one whole volume, and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from xmodbench.data.volumes.dicom_files import AGAIN, Slice, frame_count
from xmodbench.errors import UserError

# shares of a pixel and of the slice distance by which slices may be off
_SAME, _EVEN = 1e-3, 0.05
# mm by which a volume may lean from its first slice to its last
_LEAN_MM = 0.5
_COMPONENTS = {
    "M": "magnitude", "MAGNITUDE": "magnitude", "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real",
    "I": "imaginary", "IMAGINARY": "imaginary",
}  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """Distance between slices in mm, first pixel in LPS mm, and directions of the axes [3, 3] as rows."""

    step: float
    origin: np.ndarray
    axes: np.ndarray


def check_whole(name: str, slices: Sequence[Slice]) -> None:
    """Whether slices are of one kind: one stack, one point in time, one echo, one component.

    Raises:
        UserError: they are not, or frames are left out.
    """
    for item in slices:
        count = frame_count(item.header)
        if item.frame is None and count != 1:
            described = len(item.header.get("PerFrameFunctionalGroupsSequence") or [])
            but = f"but describes {described}" if described else "without their positions, where a plain image has one"
            problem = f"it holds {count} frames, {but}"
            raise UserError(problem, item.path, "split it into images of one frame, or export it as an enhanced image")
        total = int(item.header.get("InConcatenationTotalNumber") or 1)
        if total > len({other.path for other in slices}):
            raise UserError(f"it is one of {total} parts, and not all are here", item.path, AGAIN)
    for what, value in _KINDS.items():
        kinds = [(kind, item) for item in slices if (kind := value(item.header)) is not None]
        for kind, item in kinds[1:]:
            first, other = kinds[0]
            if not _alike(kind, first):
                problem = f"{name} mixes {what}: {first} in {other.name} and {kind} in {item.name}"
                raise UserError(problem, item.path, "export each on its own, and leave the others out")


def check_geometry(name: str, slices: Sequence[Slice], remarks: list[str]) -> Stack:
    """Where the volume lies.

    Raises:
        UserError: its slices are not parallel, alike and evenly spaced.
    """
    first = slices[0]
    if len(slices) < 2:
        raise UserError(f"{name} is no volume", first.path, "give the whole series")
    for item in slices[1:]:
        if item.plane != first.plane or np.abs(item.axes - first.axes).max() > _SAME:
            problem = f"{name} has slices of different size or direction, {first.name} and {item.name}"
            raise UserError(problem, item.path, "export each stack on its own")
    axes = _perpendicular(first, remarks)
    places = np.array([item.origin @ axes[2] for item in slices])
    step = _even_step(name, slices, places)
    drift = np.abs((slices[-1].origin - first.origin) @ axes[:2].T).max()
    if drift > _LEAN_MM:
        problem = f"{name} leans by {drift:.1f} mm from first to last slice, as with a tilted gantry"
        raise UserError(problem, first.path, "resample it to a rectangular grid (dcm2niix does for CT)")
    return Stack(step, first.origin, axes)


def _even_step(name: str, slices: Sequence[Slice], places: np.ndarray) -> float:
    """Distance between slices, over the whole stack, so that rounded positions do not add up."""
    gaps = np.diff(places)
    step = float(np.median(gaps))
    nearest = int(np.argmin(gaps))
    if step <= 0 or gaps[nearest] < _EVEN * step:
        a, b = slices[nearest : nearest + 2]
        differing = [tag for tag in ("AcquisitionNumber", *_PROTOCOL) if a.header.get(tag) != b.header.get(tag)]
        more = f", which differ in {' and '.join(differing)}" if differing else ""
        raise UserError(
            f"{name} has two slices in one place, {a.name} and {b.name}{more}", b.path, "leave one of them out"
        )
    odd = int(np.argmax(np.abs(gaps - step)))
    if abs(gaps[odd] - step) > _EVEN * step:
        gap = f"a gap of {gaps[odd]:.2f} mm after {places[odd]:.1f} mm ({slices[odd].name}), elsewhere {step:.2f}"
        raise UserError(f"{name} has {gap}", slices[odd].path, f"a slice is missing: {AGAIN}")
    return float((places[-1] - places[0]) / (len(slices) - 1))


def numbering(slices: Sequence[Slice]) -> str | None:
    """A clause where instance numbers or the stated number of images leave room for files that are not here."""
    try:
        numbers = {int(item.header.InstanceNumber) for item in slices}
        stated = max(int(item.header.get("ImagesInAcquisition") or 0) for item in slices)
    except (AttributeError, TypeError, ValueError):
        return None
    if any(item.frame is not None for item in slices) or len(numbers) < len(slices):
        return None
    if max(numbers) - min(numbers) + 1 > len(numbers) or min(numbers) > 1:
        return f"its instance numbers run from {min(numbers)} to {max(numbers)} for {len(slices)} files: some may be missing"
    if stated > len(slices):
        return f"its header says that there are {stated} images, {len(slices)} are here: some may be missing"
    return None


def _perpendicular(first: Slice, remarks: list[str]) -> np.ndarray:
    """The axes of a slice; those that are off by rounding made perpendicular and of length 1."""
    axes = first.axes
    off = float(np.abs(axes @ axes.T - np.eye(3)).max())
    if off > 2 * _SAME:
        raise UserError("its ImageOrientationPatient are no two perpendicular directions", first.path, AGAIN)
    if off < 1e-4:
        return axes
    left, _, right = np.linalg.svd(axes)
    remarks.append("its ImageOrientationPatient is not quite perpendicular and made so")
    return left @ right


def _component(header: Dataset) -> str | None:
    """Which part of a complex MR image it is."""
    if word := header.get("ComplexImageComponent"):
        return _COMPONENTS.get(str(word), str(word).lower())
    words = header.get("ImageType")
    words = list(words) if isinstance(words, MultiValue) else []
    return next((_COMPONENTS[word] for word in words[2:] if word in _COMPONENTS), None)


def _alike(a: object, b: object) -> bool:
    """Equal; echo times, the only numbers, may differ by what scanners measure from slice to slice."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= _EVEN * max(a, b)
    return a == b


def _word(*tags: str) -> Callable[[Dataset], str | None]:
    """The first of several tags that is there."""
    return lambda header: next((str(value) for tag in tags if (value := header.get(tag)) not in (None, "")), None)


def _echo_time(header: Dataset) -> float | None:
    try:
        return float(_word("EffectiveEchoTime", "EchoTime")(header) or "")
    except ValueError:
        return None


_PROTOCOL = ("EchoTime", "EchoNumbers", "TemporalPositionIdentifier", "ImageType", "RepetitionTime", "FlipAngle")
_KINDS: dict[str, Callable[[Dataset], object]] = {
    "stacks": _word("StackID"),
    "points in time": _word("TemporalPositionIndex", "TemporalPositionIdentifier"),
    "echoes": _word("EchoNumbers"),
    "echo times": _echo_time,
    "components": _component,
    "modalities": _word("Modality"),
    "frames of reference": _word("FrameOfReferenceUID"),
}
