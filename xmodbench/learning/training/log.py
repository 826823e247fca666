"""What a training leaves behind to look at: losses over its course, and snapshots of translations."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from xmodbench.files import atomic_file

LOSSES, SNAPSHOTS, VALIDATION = "loss.csv", "snapshots", "validation.csv"


@dataclass
class LossLog:
    """Means over stretches of training.

    Attributes:
        names: of the columns, without ``step``.
        rows: the step a stretch ends with (counted from 1), then a value for each name.
        snapshots: PNG files by the step after which they were taken.
        validation: steps, each with the loss on slices that are held out; empty where none are.
    """

    names: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)
    snapshots: dict[int, bytes] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """All values of a column."""
        place = 0 if name == "step" else 1 + self.names.index(name)
        return [row[place] for row in self.rows]

    def last(self) -> dict[str, float]:
        """The last stretch's values by name."""
        return dict(zip(self.names, self.rows[-1][1:], strict=True))

    def save(self, directory: Path) -> None:
        """Write ``loss.csv``, ``snapshots/step-<n>.png`` and, where there is one, ``validation.csv``."""
        _write(directory / LOSSES, ("step", *self.names), self.rows)
        if self.validation:
            _write(directory / VALIDATION, ("step", "loss"), self.validation)
        self.save_snapshots(directory)

    @property
    def best(self) -> tuple[int, float] | None:
        """The first step with the least loss on slices that are held out."""
        return min(self.validation, key=lambda point: point[1], default=None)

    @classmethod
    def load(cls, directory: Path) -> LossLog:
        """Read what `save` wrote; values have six digits."""
        log = cls.read(directory)
        log.load_snapshots(directory)
        return log

    @classmethod
    def read(cls, directory: Path) -> LossLog:
        """The same without the snapshots.

        Raises:
            OSError, ValueError, csv.Error: a file is missing, cannot be read, or holds something else.
        """
        log = cls(*_read(directory / LOSSES))
        if (directory / VALIDATION).is_file():
            log.validation = [(int(step), loss) for step, loss in _read(directory / VALIDATION)[1]]
        return log

    def save_snapshots(self, directory: Path) -> None:
        """Write the snapshots only."""
        for step, picture in self.snapshots.items():
            with atomic_file(directory / SNAPSHOTS / f"step-{step}.png") as temporary:
                temporary.write_bytes(picture)

    def load_snapshots(self, directory: Path) -> None:
        """Read what `save_snapshots` wrote."""
        for path in sorted((directory / SNAPSHOTS).glob("step-*.png")):
            self.snapshots[int(path.stem.removeprefix("step-"))] = path.read_bytes()


def _write(path: Path, names: Iterable[str], rows: Iterable[tuple[float, ...]]) -> None:
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(names)
        writer.writerows((int(step), *(f"{value:.6g}" for value in values)) for step, *values in rows)


def _read(path: Path) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    """Names of the columns but the first, the step, and the rows."""
    with open(path, newline="", encoding="utf-8") as handle:
        (_, *names), *lines = csv.reader(handle)
    rows = [(int(step), *map(float, values)) for step, *values in lines]
    if any(len(row) != len(names) + 1 for row in rows):
        raise ValueError(f"{path} has rows of different lengths")
    return tuple(names), rows
