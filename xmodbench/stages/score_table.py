"""The table of scores, written without pandas, which takes longer to import than most scores to find."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xmodbench.files import atomic_file


def write_columns(path: Path, columns: Mapping[str, Sequence[str] | np.ndarray]) -> None:
    """Write columns by name, byte for byte as pandas does: numbers with all their digits, nothing for NaN."""
    texts = [
        ["" if value != value else value for value in column.tolist()] if isinstance(column, np.ndarray) else column
        for column in columns.values()
    ]
    with atomic_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))
