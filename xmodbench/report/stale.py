"""Whether a cell's records belong together and to the plan: else its numbers are of other data, models or settings.

Jobs compare what they are given (`xmodbench.stages.given`); here the whole way of a cell is gone through once more, for
reports by hand and for what was put together from several runs. What a record does not tell is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.plan import Cell, Plan
from xmodbench.records import other_than
from xmodbench.store import source_sha256

Records = dict[str, dict[str, Any]]


def stale(plan: Plan, cell: Cell, records: Records) -> str | None:
    """What is out of date on the cell's way, in a clause that begins with the verb; None where nothing is."""
    return next(_stale(plan, cell, records), None)


def _stale(plan: Plan, cell: Cell, records: Records) -> Iterator[str]:
    yield from _made_otherwise(plan, cell, records)
    raw, wanted = records.get("prepare", {}).get("raw"), plan.raw_dir(cell.dataset)
    if raw is not None and Path(raw).resolve() != wanted.resolve():
        yield f"prepare: done from {raw}, not {wanted}"
    for verb, name, found in _links(plan, cell):
        given, there = records.get(verb, {}).get(name), found(records)
        if isinstance(given, dict) and isinstance(there, dict):
            given, there = ({key: item[key] for key in given.keys() & there.keys()} for item in (given, there))
        if None not in (given, there) and given != there:
            yield f"{verb}: done with {_WORDS[name]} that is no longer there"


def _made_otherwise(plan: Plan, cell: Cell, records: Records) -> Iterator[str]:
    """Settings, seeds and plugins that are not the plan's."""
    training, prepared = plan.training(cell), plan.prepared(cell.dataset)
    scoring = {"seed": plan.config.seed, "settings": plan.config.scoring.model_dump(mode="json")}
    wanted = {
        "prepare": prepared,
        "translate": plan.translated(cell),
        "score": scoring,
    }
    if training:
        wanted["train"] = plan.trained(training, cell)
    if training and training.pretraining:
        wanted["pretrain"] = plan.trained(training.pretraining)
    exported, imported = plan.exported(cell), records.get("train", {}).get("imported") or {}
    if "train" in records and imported.get("sha256") != (exported and exported.sha256):
        yield f"train: done {'with another exported model' if imported else 'here'}, not as the config says"
    for verb, record in records.items():
        if (difference := other_than(record, wanted.get(verb, {}))) is not None:
            yield f"{verb}: done with {difference}"
        if verb == "train" and exported:
            continue  # it was trained elsewhere, on other data
        # what it was made of may be gone, and still tells
        if (difference := other_than(record.get("prepared") or {}, prepared)) is not None:
            yield f"{verb}: done on data prepared with {difference}"


_WORDS = {
    "pretrained_sha256": "a first phase",
    "model_sha256": "a model",
    "translation_sha256": "a translation",
    "data_sha256": "a store of slices",
    "test_sha256": "a test store",
}


def _links(plan: Plan, cell: Cell) -> Iterator[tuple[str, str, Callable[[Records], Any]]]:
    """By verb and name of a hash in its record: what that hash has to be now."""
    train, test = (_arrays(plan.data_dir(cell.dataset) / part) for part in ("train", "test"))
    if plan.exported(cell) is None:
        yield "train", "data_sha256", lambda records: train
    yield "pretrain", "data_sha256", lambda records: train
    yield "train", "pretrained_sha256", lambda records: records.get("pretrain", {}).get("outputs_sha256")
    yield "translate", "model_sha256", lambda records: records.get("train", {}).get("outputs_sha256")
    yield "translate", "data_sha256", lambda records: test and source_sha256(test, cell.source)
    yield "score", "translation_sha256", lambda records: records.get("translate", {}).get("outputs_sha256")
    yield "score", "test_sha256", lambda records: test


def _arrays(store: Path) -> dict[str, str] | None:
    """The hashes of a store's arrays by modality; None where there is no store to look into."""
    with suppress(UserError, KeyError, TypeError, AttributeError):
        return {name: entry["sha256"] for name, entry in read_json(store / "manifest.json")["arrays"].items()}
    return None
