"""What each training leaves to look at: its losses, and translations by the weights on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmodbench.report.model import Report
from xmodbench.report.pictures import Picture, Pictures

LOSSES, SNAPSHOTS = "loss.png", "snapshots"


@dataclass(frozen=True)
class TrainingPictures:
    """Pictures of one training: PNG of the losses, and PNGs of snapshots by step, ascending."""

    title: str
    losses: Path
    snapshots: list[tuple[int, Path]]


@dataclass(frozen=True)
class ShownTraining:
    """The same on the page."""

    title: str
    losses: Picture | None
    snapshots: list[tuple[int, Picture]]


def training_pictures(report: Report) -> list[TrainingPictures]:
    """All trainings of the run that left pictures, in the plan's order, each once."""
    folders = {report.plan.model_dir(item.cell): item.cell for item in report.runs if "train" in item.records}
    found = []
    for model, cell in folders.items():
        training = report.plan.training(cell)
        if model is None or training is None:
            continue
        # a second phase keeps its pictures in a folder of its own
        for folder in (model, *sorted(path.parent for path in model.glob(f"*/{LOSSES}"))):
            if not (folder / LOSSES).is_file():
                continue
            name = training.plugin.label + (f" ({training.name})" if training.name != training.plugin.id else "")
            where = f"{report.plan.dataset_label(cell.dataset)}, {model.name.replace('-from-', ' from ')}"
            pictures = [path for path in (folder / SNAPSHOTS).glob("step-*.png") if path.stem[5:].isdecimal()]
            steps = {int(path.stem[5:]): path for path in pictures}
            snapshots = sorted(steps.items())
            phase = "" if folder == model else f", {folder.name}"
            found.append(TrainingPictures(f"{name}{phase}, {where}", folder / LOSSES, snapshots))
    return found


def shown_trainings(report: Report, kept: Pictures) -> list[ShownTraining]:
    """All trainings for the page; a picture that cannot be read is left out."""
    shown = []
    for number, training in enumerate(training_pictures(report)):
        steps = [(step, kept.keep_file(f"training-{number}-step-{step}", path)) for step, path in training.snapshots]
        pictures = [(step, picture) for step, picture in steps if picture]
        losses = kept.keep_file(f"training-{number}-losses", training.losses)
        shown.append(ShownTraining(training.title, losses, pictures))
    return [training for training in shown if training.losses or training.snapshots]
