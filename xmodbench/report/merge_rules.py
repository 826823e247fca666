"""When what two runs made belongs together: in one table, and as replicates of one cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from xmodbench.plan.plan import Cell
from xmodbench.records import other_than
from xmodbench.report.collect import CellResult
from xmodbench.report.merged_plan import RunPlan


@dataclass(frozen=True)
class Held:
    """What one run made of a cell with one seed."""

    run: RunPlan
    item: CellResult

    @property
    def place(self) -> Cell:
        """The cell, whatever the seed."""
        return replace(self.item.cell, seed=None)

    @property
    def seed(self) -> int | None:
        """The seed that tells it from other replicates; None where there are none, such as of a copy of the source."""
        return self.run.seed_of(self.item.cell) if self.run.replicable(self.item.cell.method) else None


def disagreement(new: Held, first: Held) -> str | None:
    """Why a cell cannot stand beside those of its direction, or None. (Scores of another protocol are not collected.)"""
    return next(_disagreements(new, first), None)


def _disagreements(new: Held, first: Held) -> Iterator[str]:
    ours, theirs = (held.item.records.get("score", {}) for held in (new, first))
    mine, known = (record.get("prepared") or {} for record in (ours, theirs))
    if (difference := other_than(mine, known)) is not None:
        hint = ": `seed` decides the data; for replicates keep it, and set `seeds`" if difference[:5] == "seed " else ""
        yield f"prepared with {difference} as in {first.run.folder}{hint}"
    if mine.get("sha256") != known.get("sha256"):
        yield f"of other volumes, or of another split, than in {first.run.folder}"
    for name, hash_ in sorted((theirs.get("test_sha256") or {}).items()):
        if (found := (ours.get("test_sha256") or {}).get(name)) != hash_:
            yield f"scored on other {name} slices than in {first.run.folder} ({str(found)[:10]}, not {str(hash_)[:10]})"
    here, there = ((record.get("metrics_sha256") or {}) for record in (ours, theirs))
    for name in sorted(here.keys() & there.keys()):
        if here[name] != there[name]:
            yield f"scored with other code of the metric '{name}' than in {first.run.folder}"


def no_replicate(new: Held, other: Held) -> str | None:
    """Why it is no replicate of what another run made with another seed, or None: a mean would be of two things."""
    return next(_unlike(new, other), None)


def _unlike(new: Held, other: Held) -> Iterator[str]:
    where = f"with seed {other.seed} in {other.run.folder}, so no replicate of it"
    for verb in ("pretrain", "train", "translate"):
        ours, theirs = (held.item.records.get(verb, {}) for held in (new, other))
        # of models that are borrowed, too
        wanted: dict[str, Any] = {key: theirs[key] for key in ("plugin", "settings") if key in theirs}
        if (difference := other_than(ours, wanted)) is not None:
            yield f"{verb}: done with {difference} as {where}"
        if ours.get("code_sha256") != theirs.get("code_sha256"):
            yield f"{verb}: done with other code than {where}"
    if apart := _measured(new.item) ^ _measured(other.item):
        yield f"only one of both has {', '.join(sorted(apart)[:3])}, which was made {where}; score both alike"


def _measured(item: CellResult) -> set[str]:
    """The metrics that a cell has values of."""
    distances = {name for name, found in item.distances.items() if found.get("value") is not None}
    volumes = {name for found in item.volumes.values() for name, value in found.items() if value is not None}
    return {*map(str, item.image_scores.columns), *distances, *volumes}
