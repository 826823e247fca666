"""Losses over the course of training."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from xmodbench.files import atomic_file

LOSSES = "loss.csv"


@dataclass
class LossLog:
    """Means over stretches of training.

    Attributes:
        names: of the columns, without ``step``.
        rows: the step a stretch ends with (counted from 1), then a value for each name.
    """

    names: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """All values of a column."""
        place = 0 if name == "step" else 1 + self.names.index(name)
        return [row[place] for row in self.rows]

    def last(self) -> dict[str, float]:
        """The last stretch's values by name."""
        return dict(zip(self.names, self.rows[-1][1:], strict=True))

    def save(self, directory: Path) -> None:
        """Write ``loss.csv``."""
        with atomic_file(directory / LOSSES) as temporary, open(temporary, "w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(("step", *self.names))
            writer.writerows((int(step), *(f"{value:.6g}" for value in values)) for step, *values in self.rows)
