"""What each training leaves to look at: its losses, and translations by the weights on the way."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from xmodbench.report.model import Report

LOSSES, SNAPSHOTS = "loss.png", "snapshots"


@dataclass(frozen=True)
class TrainingPictures:
    """Pictures of one training as base64: PNG of the losses, and PNGs of snapshots by step, ascending."""

    title: str
    losses: str
    snapshots: list[tuple[int, str]]


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
            snapshots = [(step, _encoded(steps[step])) for step in sorted(steps)]
            phase = "" if folder == model else f", {folder.name}"
            found.append(TrainingPictures(f"{name}{phase}, {where}", _encoded(folder / LOSSES), snapshots))
    return found


def _encoded(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
