"""One subject: volumes to slices, spooled to a file so that memory stays bounded by one subject."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.pairing.contrast import histogram
from xmodbench.data.pairing.information import grey_levels
from xmodbench.data.pairing.subject import Measured, measure, sampled
from xmodbench.data.volumes.bias import correct_bias
from xmodbench.data.volumes.cutting import cut_out, ends_row, head_facts, masked
from xmodbench.data.volumes.elsewhere import volume_sha256
from xmodbench.data.volumes.grids import Grid, rigid_facts
from xmodbench.data.volumes.identity import Scan, Voxels
from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.mask import head_mask
from xmodbench.data.volumes.names import ascii_name
from xmodbench.data.volumes.normalise import Ends, cut_off, ends_of, scaled
from xmodbench.data.volumes.register import one_thread, register_rigid
from xmodbench.data.volumes.resample import affine_ras, grid_like, orient, overlap, resample, same_grid, stored_axes
from xmodbench.data.volumes.settings import Preparation
from xmodbench.data.volumes.slicing import (
    Crop,
    Plane,
    choose,
    field_of_view,
    plane_of,
    plane_view,
    slice_affine,
)
from xmodbench.errors import UserError, plain, said
from xmodbench.files import relative_name
from xmodbench.plugins import SubjectRecord
from xmodbench.seeding import derive_seed

MIN_OVERLAP = 0.5
# slices nearer than this lie within what a registration leaves: one off is no fault that can be seen
BESIDE_MM = 1.0


@dataclass
class Task:
    """What a worker needs for one subject; plain data, so that it travels to another process."""

    record: SubjectRecord
    modalities: tuple[str, ...]
    settings: Preparation
    raw_dir: Path
    spool: Path
    seed: int


@dataclass
class Outcome:
    """What became of a subject: rows of its slices (the images are in the spool file) or why there are none.

    ``pairing``: what is to be judged against other subjects.
    """

    subject: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    voxels: dict[str, Voxels] = field(default_factory=dict)
    pairing: list[Measured] = field(default_factory=list)

    def scans(self) -> list[Scan]:
        """Its volumes, as far as their identity goes."""
        files = self.facts["files"]
        return [Scan(self.subject, m, files[m]["file"], files[m]["sha256"], found) for m, found in self.voxels.items()]


def prepare_subject(task: Task) -> Outcome:
    """Prepare one subject; whatever goes wrong with it becomes ``failure``, one line, and does not stop the others.

    Raises:
        OSError: the slices cannot be spooled (a full disk), which would stop every other subject too.
    """
    try:
        outcome, images = prepared(task)
    except UserError as error:
        return Outcome(task.record.subject, failure=str(error))
    np.savez(task.spool, **images)  # type: ignore[arg-type]  # its own option stands among the arrays' names
    return outcome


def prepared(task: Task) -> tuple[Outcome, dict[str, np.ndarray]]:
    """Rows and facts of one subject, and by modality its slices [N, H, W].

    Raises:
        UserError: it cannot be prepared, for whatever reason.
    """
    try:
        # subjects run side by side, each on one thread
        with one_thread():
            return _prepare(task)
    except UserError:
        raise
    except Exception as error:
        raise UserError(_unforeseen(error)) from None


def _unforeseen(error: Exception) -> str:
    """One line for an exception that nobody has put into words, with the place it came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = plain(f"{type(error).__name__}: {error}")[:300]
    return f"{text} ({Path(place.filename).name}, line {place.lineno})"


def _prepare(task: Task) -> tuple[Outcome, dict[str, np.ndarray]]:
    settings, outcome = task.settings, Outcome(task.record.subject)
    volumes, mask, grid, plane = _aligned(task, outcome)
    view = plane_view(sitk.GetArrayViewFromImage(mask) > 0, plane)
    spacing = grid.GetSpacing()
    with _about(task.record.files[_mask_source(task)], "check the volume, or set mask_above"):
        chosen = choose(view, spacing[plane.normal], settings.slices)
    crop = field_of_view(view, (spacing[plane.rows], spacing[plane.cols]), settings.fov_mm)
    outcome.facts |= {
        "grid": Grid.of(grid).facts(),
        "plane": plane.name,
        "crop": asdict(crop),
        "mask": _mask_source(task),
    }
    ends = {name: _ends(task, name, volume, mask) for name, volume in volumes.items()}
    inside = sitk.GetArrayViewFromImage(mask) > 0
    for name, found in ends.items():
        if found is not None:
            outcome.facts["scans"][name]["clipped"] = cut_off(sitk.GetArrayViewFromImage(volumes[name]), inside, found)
    arrays = {
        name: plane_view(scaled(sitk.GetArrayFromImage(volume), ends[name]), plane) for name, volume in volumes.items()
    }
    kept = [index for index in chosen if crop.cut(view[index], False).mean() >= settings.min_foreground]
    if not kept:
        raise UserError("no slice has enough foreground", task.record.subject, "lower min_foreground")
    for index in kept:
        affine = slice_affine(affine_ras(grid), view.shape[1:], plane, index, crop, settings.image_size)
        planes = {name: masked(settings, name, array[index], view[index]) for name, array in arrays.items()}
        outcome.rows.append(_row(task, plane, index, affine, grid) | ends_row(planes, ends))
    outcome.facts["head"] = head_facts(view, crop)
    outcome.facts["slices"] = {"chosen": len(chosen), "kept": len(kept)}
    stacks = {
        name: np.stack([cut_out(settings, name, array[index], view[index], crop) for index in kept])
        for name, array in arrays.items()
    }
    outcome.facts["levels"] = {m: np.round(histogram(grey_levels(stack)), 5).tolist() for m, stack in stacks.items()}
    beside = _beside(task, arrays, view, kept, crop) if spacing[plane.normal] >= BESIDE_MM else {}
    outcome.pairing = measure({name: stacks[name] for name in _reference_first(task)}, beside)
    return outcome, stacks


def _reference_first(task: Task) -> list[str]:
    first = task.settings.reference or task.modalities[0]
    return sorted(task.modalities, key=lambda name: (name != first, name))


def _beside(task: Task, arrays, view: np.ndarray, kept: list[int], crop: Crop) -> dict[str, dict[int, np.ndarray]]:
    """By modality, the volume's slices before and after those the pairing is measured on, where slices are taken apart."""
    if len(kept) > 1 and min(np.diff(kept)) == 1:
        return {}
    places, last = np.array(kept)[sampled(len(kept))], len(view) - 1
    return {
        name: {
            step: np.stack(
                [cut_out(task.settings, name, arrays[name][i], view[i], crop) for i in np.clip(places + step, 0, last)]
            )
            for step in (-1, 1)
        }
        for name in _reference_first(task)[1:]
    }


def _aligned(task: Task, outcome: Outcome) -> tuple[dict[str, sitk.Image], sitk.Image, sitk.Image, Plane]:
    """All modalities on the reference's grid, each interpolated at most once, with the mask, and the slices' plane."""
    settings, files = task.settings, task.record.files
    name = settings.reference or task.modalities[0]
    reference = _read(task, name, outcome)
    stored = stored_axes(reference)
    reference = orient(reference)
    outcome.facts["files"] = {m: _source(files[m], task.raw_dir) for m in task.modalities}
    grid = grid_like(reference, _spacing(settings, stored))
    if settings.spacing_mm is not None:
        reference = _on_grid(task, name, reference, grid, None)
    mask = _mask(task, name, reference)
    volumes = {name: reference}
    for other in task.modalities:
        if other == name:
            continue
        image = _read(task, other, outcome)
        transform = _transform(task, other, image, reference, mask, outcome)
        if transform is not None:
            outcome.facts["scans"][other]["moved"] = rigid_facts(transform)
        if transform is None and same_grid(image, grid):
            volumes[other] = image
        else:
            volumes[other] = _on_grid(task, other, image, grid, transform)
    if settings.mask_from not in (None, name):
        mask = _mask(task, settings.mask_from, volumes[settings.mask_from])
    return {m: volumes[m] for m in task.modalities}, mask, grid, plane_of(settings.axis, stored)


def _spacing(settings: Preparation, stored: tuple[int, int, int]) -> float | Sequence[float] | None:
    """The voxel size asked for along x, y and z, wherever the file has them."""
    spacing = settings.spacing_mm
    if settings.axis != "stored" or not isinstance(spacing, tuple):
        return spacing
    return [spacing[stored.index(axis)] for axis in range(3)]


def _read(task: Task, name: str, outcome: Outcome) -> sitk.Image:
    """A modality's volume, with floor and bias field seen to; what tells it from others goes into the `outcome`, and what
    was assumed of its file into the facts, under ``headers``."""
    path, how = task.record.files[name], task.settings.normalisation(name)
    remarks = [task.record.remarks[name]] if name in task.record.remarks else []
    try:
        image = read_volume(path, orientation=task.settings.assume_orientation, remark=remarks.append)
    except (OSError, RuntimeError, ValueError) as error:  # a header can be odd in more ways than are foreseen
        words = said(error) if isinstance(error, OSError) else plain(str(error).rpartition("ERROR:")[2])
        raise UserError(f"cannot be read ({words or 'without a reason'})", path, "convert or fetch it again") from None
    if how.method == "window" and how.range[0] < 0 <= sitk.GetArrayViewFromImage(image).min():
        remarks.append(f"no value is below 0, though its window begins at {how.range[0]:g}: check that these are HU")
    if remarks:
        outcome.facts.setdefault("headers", {})[name] = "; ".join(remarks)
    outcome.voxels[name] = Voxels.of(image)
    values = sitk.GetArrayViewFromImage(image)
    extremes = [float(values.min()), float(values.max())]
    outcome.facts.setdefault("scans", {})[name] = {**Grid.of(image).facts(), "extremes": extremes}
    if how.floor is not None:
        image = sitk.Maximum(image, how.floor)
    # a fixed window says that raw values have a meaning, as HU have
    return correct_bias(image) if task.settings.n4 and how.method != "window" else image


def _transform(task: Task, name: str, image, reference, mask, outcome: Outcome) -> sitk.Transform | None:
    """The transform from the reference's points to the image's, None where the headers are to be believed."""
    settings, path = task.settings, task.record.files[name]
    fixed = settings.reference or task.modalities[0]
    if settings.resample == "refuse" and settings.registration == "none" and not same_grid(orient(image), reference):
        sizes = " and ".join("x".join(map(str, item.GetSize())) for item in (orient(image), reference))
        raise UserError(
            f"not on the grid of {fixed} ({sizes})", path, "allow `resample: world` or `registration: rigid`"
        )
    share = overlap(image, reference)
    if share < MIN_OVERLAP:
        problem = f"its field of view overlaps that of {fixed} by {share:.0%} only"
        raise UserError(
            problem, path, "check that the pair is of one subject and session and that the headers are right"
        )
    if settings.registration == "none":
        return None
    seed = derive_seed(task.seed, "registration", task.record.subject, name)
    fill = settings.normalisation(name).fill
    result = register_rigid(
        reference, image, mask, _mask(task, name, image), seed, fill, settings.registration_limit_mm
    )
    outcome.facts.setdefault("registration", {})[name] = result.facts()
    if result.accepted:
        return result.transform
    if settings.rejected_registration == "exclude":
        fix = "look at both volumes; where the headers are wrong and the result is right, raise `registration_limit_mm`"
        raise UserError(f"registration to {fixed} rejected: {', '.join(result.reasons)}", path, fix)
    return None


def _on_grid(task: Task, name: str, image, grid, transform) -> sitk.Image:
    fill = task.settings.normalisation(name).fill
    return resample(image, grid, transform, fill=fill, interpolation=task.settings.interpolation)


def _mask(task: Task, name: str, image: sitk.Image) -> sitk.Image:
    how = task.settings.normalisation(name)
    with _about(task.record.files[name], "check the volume, or set mask_above"):
        return head_mask(image, how.mask_above, how.mask_opening_mm)


def _mask_source(task: Task) -> str:
    return task.settings.mask_from or task.settings.reference or task.modalities[0]


def _ends(task: Task, name: str, volume: sitk.Image, mask: sitk.Image) -> Ends | None:
    inside = sitk.GetArrayViewFromImage(mask) > 0
    with _about(task.record.files[name], "check the volume or its normalisation"):
        return ends_of(sitk.GetArrayViewFromImage(volume), inside, task.settings.normalisation(name))


@contextmanager
def _about(path: Path, fix: str) -> Iterator[None]:
    """Name the file that what is wrong was found in."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, path, fix) from None


def _row(task: Task, plane: Plane, index: int, affine: np.ndarray, grid: sitk.Image) -> dict[str, Any]:
    settings, record = task.settings, task.record
    middle = (settings.image_size - 1) / 2
    position = float((affine @ [middle, middle, 0, 1])[plane.normal])
    # one decimal tells the slices of a scanner apart; finer grids need more
    digits = max(1, int(np.ceil(-np.log10(grid.GetSpacing()[plane.normal]))) + 1)
    width = digits + 5
    return {
        "id": f"{ascii_name(record.subject)}_{plane.letter}{position:+0{width}.{digits}f}",
        "subject": record.subject,
        "site": record.site,
        "position_mm": round(position, 4),
        "axis": plane.name,
        "index": index,
        "source": relative_name(record.files[settings.reference or task.modalities[0]], task.raw_dir),
        "volume_shape": json.dumps(list(grid.GetSize())),
        "affine": json.dumps(np.round(affine, 5).tolist()),
    }


def _source(path: Path, raw_dir: Path) -> dict[str, str]:
    return {"file": relative_name(path, raw_dir), "sha256": volume_sha256(path)}
