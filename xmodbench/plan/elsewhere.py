"""Methods of a run that run nowhere here: others made their translations, and what they saw is what their authors say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.errors import UserError, did_you_mean
from xmodbench.plan.config import MethodEntry, PredictionsEntry
from xmodbench.plan.methods import PlannedMethod
from xmodbench.plugins import METHODS, Borrower, Method, Plugin, Run

if TYPE_CHECKING:
    import numpy as np

    from xmodbench.seeding import ImageGenerator


class NotHere(Borrower):
    """Stands for a method of which there are only translations: nothing of it can run."""

    def load(self, directory: Path, run: Run) -> None:
        """There is no model."""
        raise TypeError("runs elsewhere")

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """There are translations already."""
        raise TypeError("runs elsewhere")


def planned_predictions(
    entries: list[PredictionsEntry],
    methods: Mapping[str, PlannedMethod],
    directions: Mapping[str, list[tuple[str, str]]],
    where: str,
) -> dict[str, PlannedMethod]:
    """By id, a method for the entries that share it.

    Args:
        entries: of the config.
        methods: that run here.
        directions: of the run, by data set.
        where: the config's name, for messages.

    Raises:
        UserError: an id that a method has, an unknown data set or direction, two entries for one cell, or entries of one id
            that disagree on name or supervision.
    """
    found: dict[str, PlannedMethod] = {}
    for number, entry in enumerate(entries):
        place = f"predictions.{number}"
        if entry.id in methods:
            raise UserError(f"a method of this run has the id '{entry.id}' ({where})", f"{place}.id", "choose another")
        if entry.dataset not in directions:
            hint = did_you_mean(entry.dataset, directions) or f"this run has {', '.join(directions)}"
            raise UserError(f"unknown data set '{entry.dataset}'; {hint} ({where})", f"{place}.dataset")
        if entry.pair not in directions[entry.dataset]:
            have = ", ".join("->".join(pair) for pair in directions[entry.dataset])
            raise UserError(f"this run has no '{entry.direction}' of it, but {have} ({where})", f"{place}.direction")
        if entry.files is not None:
            name_pattern(entry.files, f"{place}.files")
        method = found.setdefault(entry.id, _method(entry))
        _add(method, entry, place, where)
    return found


def _add(method: PlannedMethod, entry: PredictionsEntry, place: str, where: str) -> None:
    first, key = next(iter(method.made_elsewhere.values()), entry), (entry.dataset, *entry.pair)
    if key in method.made_elsewhere:
        raise UserError(f"'{entry.id}' has predictions of {entry.dataset} {entry.direction} twice ({where})", place)
    for part in ("label", "supervision"):
        if getattr(entry, part) != getattr(first, part):
            values = f"'{getattr(first, part)}' and '{getattr(entry, part)}'"
            raise UserError(f"entries of '{entry.id}' disagree on {part}: {values} ({where})", place)
    method.made_elsewhere[key] = entry


def _method(entry: PredictionsEntry) -> PlannedMethod:
    plugin = Plugin[Method](entry.id, METHODS, NotHere, {"label": entry.label}, Path(entry.folder))
    shown = MethodEntry(label=entry.label, note=entry.note)
    return PlannedMethod(entry.id, entry.id, shown, plugin, {}, {}, made_elsewhere={})


def check_folders(entries: Iterable[PredictionsEntry], where: str) -> None:
    """Refuse folders that are not there, before anything starts.

    Raises:
        UserError: one is missing or has no file in it.
    """
    for number, entry in enumerate(entries):
        folder = Path(entry.folder)
        if not folder.is_dir():
            fix = "put the predictions there, or correct `folder`"
            raise UserError(f"no such folder: {folder} ({where})", f"predictions.{number}.folder", fix)


def name_pattern(pattern: str, where: str) -> re.Pattern[str]:
    """The regular expression of file names such as ``{id}_fake_B.png``, with one of the groups ``id`` and ``subject``.

    Raises:
        UserError: it has not exactly one of the two.
    """
    parts = re.split(r"\{(id|subject)\}", pattern)
    if len(parts) != 3:
        fix = "write {id} or {subject} once, such as {id}_fake_B.png"
        raise UserError(f"'{pattern}' does not say where the name stands", where, fix)
    before, group, after = parts
    return re.compile(f"{re.escape(before)}(?P<{group}>[^/]+){re.escape(after)}")
