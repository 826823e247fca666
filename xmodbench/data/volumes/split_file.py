"""Splits as files: read, so that a published one can be committed and used again, and written by every preparation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xmodbench.files import SHIPPED, write_text

SPLIT_FILE = "split.csv"
COLUMNS = ("subject", "split", "site", "note")
_PARTS = ("train", "test")


def read_split(file: str | Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and test subjects in the file's order.

    Args:
        file: CSV or JSON; looked for in the working directory, then among what this package ships.

    Raises:
        ValueError: there is no such file, or it holds no split; the message names it.
    """
    path = next((p for p in (Path(file), SHIPPED / file) if p.is_file()), None)
    if path is None:
        raise ValueError(f"no such file: {file}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        lists = _from_json(json.loads(text)) if path.suffix == ".json" else _from_csv(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} holds no split: {error}") from None
    for part, names in zip(_PARTS, lists, strict=True):
        if not names:
            raise ValueError(f"{file} names no {part} subjects")
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{file} names {sorted(twice)[0]} twice")
    return lists


def write_split(path: Path, rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Write rows of (subject, ``train``, ``test`` or ``excluded``, site, note) as CSV, atomically."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def _from_csv(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"subject", "split"} <= set(rows[0]):
        raise ValueError("it needs the columns subject and split")
    train, test = (
        tuple(row["subject"].strip() for row in rows if (row["split"] or "").strip() == part) for part in _PARTS
    )
    return train, test


def _from_json(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError("it needs the lists train and test")
    lists = value.get("subjects_of", value)  # a store's manifest has them there
    if not all(isinstance(lists.get(part), list) and all(isinstance(n, str) for n in lists[part]) for part in _PARTS):
        raise ValueError("it needs the lists train and test")
    return tuple(lists["train"]), tuple(lists["test"])
