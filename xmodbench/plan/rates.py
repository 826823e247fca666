"""Measured rates: the table of this project, and what the user's own records say, which counts for more."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.work import VERBS, Work, counted
from xmodbench.plugins import METHODS, available, find
from xmodbench.plugins.settings import validated
from xmodbench.records import RECORD, read_record

TABLE = Path(__file__).with_name("rates.csv")
ANY = "*"
"""Of plugins, for what takes as long whatever the method; of networks, where settings do not matter."""
OWN = "own records"
MOST_RECORDS = 500  # the newest that are read


@dataclass(frozen=True)
class Rate:
    """What something was measured to take.

    Attributes:
        work: that was done; value: seconds or bytes that it took; machine: where, or which records say so.
    """

    plugin: str
    verb: str
    device: str
    work: Work
    value: float
    machine: str

    def of(self, other: Work) -> float:
        """What other work takes, by its cost."""
        return self.value * other.cost / self.work.cost


class Rates:
    """All rates that are known: looked up by plugin, verb, device and kind of network.

    Args:
        results: folder whose runs' records are read.
    """

    def __init__(self, results: Path):
        self.table, self.own = list(_table()), list(_own(results))

    def find(self, plugin: str, verb: str, wanted: Work, device: str = "cpu") -> Rate | None:
        """The rate whose unit of work is nearest: of the user's own records where there is one, else of the table."""
        for rates in (self.own, self.table):
            fitting = [
                rate
                for rate in rates
                if (rate.plugin, rate.verb) == (plugin, verb)
                and rate.device in ("", device)
                and rate.work.network in (ANY, wanted.network)
            ]
            if fitting:
                return min(fitting, key=lambda rate: abs(math.log(rate.work.unit / wanted.unit)))
        return None

    def seconds(self, verb: str) -> float:
        """What a job of a kind takes that does not depend on a method."""
        return next(rate.value for rate in self.table if (rate.plugin, rate.verb) == (ANY, verb))


def _table() -> Iterator[Rate]:
    with open(TABLE, newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            done = Work(float(row["amount"]), row["network"], float(row["width"]), float(row["size"]))
            yield Rate(row["plugin"], row["verb"], row["device"], done, float(row["value"]), row["machine"])


def _own(results: Path) -> Iterator[Rate]:
    """Rates by the records of trainings and translations, the newest first."""
    patterns = ("*/models/*/*/*", "*/pretrained/*/*/*", "*/translations/*/*/*")
    found = [path for pattern in patterns for path in results.glob(f"{pattern}/{RECORD}")]
    known = set(available(METHODS))
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_RECORDS]:
        try:
            record = read_record(path.parent)
            if record.get("plugin") in known and record.get("verb") in VERBS and not record.get("imported"):
                yield from _rate(path.parent, record)
        except (UserError, TypeError, ValueError, AttributeError, KeyError):  # damaged, or of a plugin that has changed
            continue


def _rate(folder: Path, record: dict[str, Any]) -> Iterator[Rate]:
    verb, translated = record["verb"], record["verb"] == "translate"
    size = (
        read_json(folder / "manifest.json")["shape"][0] if translated else record["prepared"]["settings"]["image_size"]
    )
    cls = find(METHODS, record["plugin"]).cls
    settings = validated(cls.Config, record["settings"], str(folder))
    device = record.get("device", "cpu")
    done = counted(settings, verb, record["n_test"] if translated else record["n_train"], size, device)
    if done is None:
        return
    if "most_steps" in record and not translated:  # it ended where held-out slices said so
        done = replace(done, amount=done.amount * record["steps"] / record["most_steps"], at_most=False)
    # of a short job most is its beginning, which says nothing of a longer one
    spent = record.get("training_s") or (record["duration_s"] - 4)
    if done.cost > 0 and spent > 5:
        yield Rate(record["plugin"], verb, device, done, spent, f"{OWN}: {folder}")
