"""The paper's numbers beside ours: the difference and what is not known of it, and why both may not be one experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scipy.stats import kendalltau

from xmodbench.metrics.published import MIN_SUBJECTS, difference
from xmodbench.metrics.registry import METRICS, Metric
from xmodbench.metrics.uncertainty import Measured, Number
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.summary import Entry, Group

CODES = {
    "size": "slices of another size",
    "preset": "other options than those of the published run, as far as these are known",
    "sequence": "which MR sequence was translated is not known, or another was",
    "split": "which subjects were trained on and tested is not known, or others were",
    "slices": "another number of test subjects or slices",
    "training": "trained for another time, or for one that the paper does not give",
    "sweep": "another point of a sweep, or an option that the paper does not give",
    "share": "another share of the source's slices was seen",
    "definition": "the paper does not define the metric; ours is the definition that explains its numbers best",
}
"""Why a published number and ours are not of the same experiment."""
OPTION_CODES = {"share": "share", "slices": "share"} | dict.fromkeys(
    ("epochs", "decay_epochs", "iterations", "kimg", "encoder_iterations"), "training"
)


@dataclass(frozen=True)
class Beside:
    """A published number beside ours.

    Attributes:
        difference: ours less the published one, with the ends of its 95 % interval; None where we have none.
        verdict: ``higher``, ``lower`` or ``no difference seen``; None where one of both has too few subjects for one.
        reasons: code and words of each reason why the two are not of the same experiment.
    """

    entry: Entry
    difference: float | None
    low: float | None
    high: float | None
    verdict: str | None
    reasons: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For ``table.json``."""
        cell, names = self.entry.cell, ("difference", "low", "high", "verdict", "reasons")
        where = {"dataset": cell.dataset, "source": cell.source, "target": cell.target, "method": cell.method}
        ours = {"metric": self.entry.metric.id, "ours": self.entry.value, "published": self.entry.published}
        return where | ours | {name: getattr(self, name) for name in names}


def beside(plan: Plan, entries: list[Entry], measured: dict[Cell, Measured]) -> list[Beside]:
    """The numbers of a group that the paper has too."""
    return [_beside(plan, entry, measured.get(entry.cell)) for entry in entries if entry.published is not None]


def _beside(plan: Plan, entry: Entry, measured: Measured | None) -> Beside:
    codes = dict(reasons(plan, entry))
    number = measured.numbers.get(entry.metric.id) if measured else None
    if number is None:
        return Beside(entry, None, None, None, None, codes)
    printed, theirs = str(entry.published), _tested(plan, entry.cell.dataset).get("subjects")
    if entry.low is None or theirs is None:
        return Beside(entry, number.value - float(printed), None, None, None, codes)
    found, low, high = difference(number.value, number.spreads, len(number.seeds), printed, theirs)
    return Beside(entry, found, low, high, _verdict(number, low, high, theirs), codes)


def _verdict(number: Number, low: float, high: float, theirs: int) -> str | None:
    assert number.effects is not None
    if min(len(number.effects), theirs) < MIN_SUBJECTS:
        return None
    return "no difference seen" if low <= 0 <= high else "higher" if low > 0 else "lower"


def _tested(plan: Plan, dataset: str) -> dict[str, Any]:
    """The paper's numbers of test subjects and slices."""
    return plan.dataset_plugins[dataset].meta.get("slices_published", {}).get("test", {})


def reasons(plan: Plan, entry: Entry) -> Iterator[tuple[str, str]]:
    """Code and words of each reason why a number and the published one are not of the same experiment."""
    method, dataset = plan.methods[entry.cell.method], plan.dataset_plugins[entry.cell.dataset]
    theirs, settings = dataset.meta.get("published", {}), plan.datasets[entry.cell.dataset].settings
    for name, wanted in theirs.get("settings", {}).items():
        if (ours := getattr(settings, name, wanted)) != wanted:
            yield ("size" if name == "image_size" else "preset"), f"{name} {ours}, published {wanted}"
    yield from theirs.get("unlike", {}).items()
    tested = _tested(plan, entry.cell.dataset)
    for count, here in (("subjects", "subjects"), ("pairs", "images")):
        if entry.result.complete and tested.get(count) not in (None, entry.result.counts[here]):
            yield "slices", f"{entry.result.counts[here]} test {here}, published {tested[count]}"
            break
    published_as = method.plugin.meta.get("published_as", {})
    options = published_as.get("all", {}) | published_as.get(theirs.get("name"), {})
    for name, wanted in options.items():
        if (ours := option(method.settings[entry.cell.dataset], name, wanted)) != wanted:
            code = "sweep" if name in method.point else OPTION_CODES.get(name, "preset")
            yield code, f"{name} {ours}, published {wanted}"
    for name in method.point.keys() - options.keys():
        yield "sweep", f"{name} {option(method.settings[entry.cell.dataset], name)}, published not said"
    yield from method.plugin.meta.get("published_unlike", {}).items()
    if entry.metric.doubt:
        yield "definition", entry.metric.doubt


def option(settings: Any, name: str, default: Any = None) -> Any:
    """An option's value; where it is left out the preset's, or the default that is given."""
    value = getattr(settings, name, None)
    if value is not None:
        return value
    presets = getattr(settings, "PRESETS", {})
    return presets[settings.preset].get(name) if presets else default


@dataclass(frozen=True)
class Agreement:
    """Whether ours and the paper order the methods of a direction alike: Kendall's tau of one metric."""

    metric: Metric
    methods: int
    tau: float
    p: float


def rank_agreement(group: Group, rows: list[Beside]) -> list[Agreement]:
    """By metric, over the methods of a group that have both numbers; one point of a sweep for each published method."""
    found = []
    for metric in METRICS.values():
        pairs: dict[tuple[str, ...], tuple[float, float]] = {}
        for row in rows:
            if row.entry.metric is metric and row.entry.value is not None:
                # equal rows of the paper are one method, of which the first that is there stands for all
                key = tuple((row.entry.result.published or {}).values())
                pairs.setdefault(key, (row.entry.value, float(str(row.entry.published))))
        if len(pairs) >= 3:
            ours, theirs = zip(*pairs.values(), strict=True)
            tau, p = kendalltau(ours, theirs)
            found.append(Agreement(metric, len(pairs), float(tau), float(p)))
    return found
