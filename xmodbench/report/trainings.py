"""What each training leaves to look at: its losses, and translations by the weights on the way."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.learning.training.log import LOSSES, SNAPSHOTS, LossLog
from xmodbench.report.losses import losses_drawn
from xmodbench.report.model import Report
from xmodbench.report.pictures import Picture, Pictures

DRAWN = "loss.png"
"""The losses as a method has drawn them itself, which is shown in place of our drawing."""


@dataclass(frozen=True)
class TrainingPictures:
    """Pictures of one training: the folder that its losses lie in, and PNGs of snapshots by step, ascending.

    ``length`` says how long a training went on that slices were held out of.
    """

    title: str
    folder: Path
    snapshots: list[tuple[int, Path]]
    length: str | None = None


@dataclass(frozen=True)
class ShownTraining:
    """The same on the page."""

    title: str
    losses: Picture | None
    snapshots: list[tuple[int, Picture]]
    length: str | None = None


def training_pictures(report: Report) -> list[TrainingPictures]:
    """All trainings of the run that left pictures, in the plan's order, each once."""
    there = [item for item in report.runs if "train" in item.records]
    folders = {report.plan.model_dir(item.cell): item.cell for item in there}
    records = {report.plan.model_dir(item.cell): item.records["train"] for item in there}
    found = []
    for model, cell in folders.items():
        training = report.plan.training(cell)
        if model is None or training is None:
            continue
        # a second phase keeps its pictures in a folder of its own
        for folder in (model, *sorted(path for path in model.glob("*") if path.is_dir())):
            if not any((folder / name).is_file() for name in (LOSSES, DRAWN)):
                continue
            name = training.plugin.label + (f" ({training.name})" if training.name != training.plugin.id else "")
            where = f"{report.plan.dataset_label(cell.dataset)}, {model.name.replace('-from-', ' from ')}"
            pictures = [path for path in (folder / SNAPSHOTS).glob("step-*.png") if path.stem[5:].isdecimal()]
            steps = {int(path.stem[5:]): path for path in pictures}
            snapshots = sorted(steps.items())
            phase = "" if folder == model else f", {folder.name}"
            title, length = f"{name}{phase}, {where}", None if phase else length_note(records[model])
            found.append(TrainingPictures(title, folder, snapshots, length))
    return found


def length_note(record: dict[str, Any]) -> str | None:
    """Whether training went on for long enough, as far as slices that were held out show; None where there were none."""
    try:
        held, best, done, most = (int(record[key]) for key in ("held_out_slices", "best_step", "steps", "most_steps"))
        stopped = record["stopped"]
    except (KeyError, TypeError, ValueError):
        return None
    text = f"{held} training slices were held out: on them the weights after {best} of {done} steps were best, and are used."
    if stopped != "limit":
        return f"{text} Training stopped because more did not help (it might have taken {most} steps)."
    if best == done:
        return f"{text} They were still getting better when training ended at its limit: more iterations will help."
    return f"{text} Training ended at its limit."


def shown_trainings(report: Report, kept: Pictures) -> list[ShownTraining]:
    """All trainings for the page; a picture that cannot be read is left out."""
    shown = []
    for number, training in enumerate(training_pictures(report)):
        steps = [(step, kept.keep_file(f"training-{number}-step-{step}", path)) for step, path in training.snapshots]
        pictures = [(step, picture) for step, picture in steps if picture]
        losses = _losses(training.folder, f"training-{number}-losses", kept)
        shown.append(ShownTraining(training.title, losses, pictures, training.length))
    return [training for training in shown if training.losses or training.snapshots]


def _losses(folder: Path, name: str, kept: Pictures) -> Picture | None:
    """The losses as a picture; None where nobody can read them."""
    if (folder / DRAWN).is_file():
        return kept.keep_file(name, folder / DRAWN)
    try:
        return kept.keep(name, losses_drawn(LossLog.read(folder)))
    except (OSError, ValueError, csv.Error):
        return None
