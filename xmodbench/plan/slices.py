"""How many slices a data set will have: counted where it is prepared, else by its settings, else as published."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.plan import Plan


@dataclass(frozen=True)
class Slices:
    """Numbers of a data set; None where nobody knows before it is prepared.

    Attributes:
        subjects: in all; train, test: slices; size: their height and width, pixels.
        basis: where the numbers come from, in words.
    """

    subjects: int | None
    train: int | None
    test: int | None
    size: int
    basis: str


def slices(plan: Plan, dataset: str) -> Slices:
    """The numbers of a data set of a plan."""
    settings, folder = plan.datasets[dataset].settings, plan.data_dir(dataset)
    size = getattr(settings, "image_size", 128)
    with suppress(UserError, KeyError, TypeError, IndexError):
        train, test = (read_json(folder / split / "manifest.json") for split in ("train", "test"))
        found = len(train["subjects"]) + len(test["subjects"])
        return Slices(found, train["count"], test["count"], train["shape"][0], "prepared")
    subjects, basis = _subjects(plan, dataset)
    each = _per_subject(settings)
    if subjects is not None and each is not None:
        trained, tested = _split(getattr(settings, "split", None), subjects, each)
        return Slices(subjects, trained, tested, size, basis)
    published = plan.dataset_plugins[dataset].meta.get("slices_published")
    if published:
        train, test = published["train"], published["test"]
        return Slices(train["subjects"] + test["subjects"], train["pairs"], test["pairs"], size, "as published")
    return Slices(subjects, None, None, size, "known once it is prepared")


def _subjects(plan: Plan, dataset: str) -> tuple[int | None, str]:
    found, raw = plan.datasets[dataset], plan.raw_dir(dataset)
    if isinstance(found, SimulatedDataset):
        return len(found.subjects()), "by its settings"
    split = getattr(found.settings, "split", None)
    if split is not None and split.n_train and split.n_test:
        return split.n_train + split.n_test, "by its settings"
    if Path(raw).is_dir():
        with suppress(UserError, OSError):
            return len(found.volumes(raw)), f"by its settings and the files in {raw}"
    return None, ""


def _per_subject(settings: Any) -> int | None:
    """Slices of a subject, where the settings say a number."""
    chosen = getattr(settings, "slices", None)
    if chosen is None:
        return None
    return chosen.count or (len(chosen.fractions) if chosen.fractions else None)


def _split(split: Any, subjects: int, each: int) -> tuple[int, int]:
    """Training and test slices, as `xmodbench.data.volumes.split` divides subjects, but for sites of which each is divided.

    A lone subject's slices are divided themselves; those in the gap between the parts are counted as training.
    """
    if split is None:
        return subjects * each, subjects * each
    if split.train_subjects and split.test_subjects:
        return len(split.train_subjects) * each, len(split.test_subjects) * each
    if subjects == 1:
        tested = max(1, round(split.test_fraction * each))
        return max(0, each - tested), tested
    tested = split.n_test or max(1, round(split.test_fraction * subjects))
    return (split.n_train or max(0, subjects - tested)) * each, tested * each
