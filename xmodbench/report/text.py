"""How numbers and names are written in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xmodbench.directions import first_of
from xmodbench.errors import amount
from xmodbench.metrics.field.cards import FIELD, VOLUME
from xmodbench.metrics.own import OWN
from xmodbench.metrics.published import MIN_SUBJECTS
from xmodbench.metrics.registry import Metric
from xmodbench.plan.plan import Plan
from xmodbench.report.published import Agreement
from xmodbench.report.summary import Entry, Group

FAMILIES = {
    "paper": "The paper's definition",
    "standard": "Standard definition",
    FIELD: "The field's own numbers, by slice",
    VOLUME: "The field's own numbers, by volume",
    OWN: "Metrics of one's own",
}
NONE = "–"
SIMULATED = (
    "Simulated data: these numbers test the benchmark. They say nothing about the real data set of a similar name "
    "and must not be compared with published ones."
)


def families(entries: Sequence[Entry]) -> list[tuple[str, str, list[Metric]]]:
    """Name, title and columns of each table that a direction with these numbers has."""
    metrics = list({entry.metric.id: entry.metric for entry in entries if entry.metric.headline}.values())
    found = [(name, title, [m for m in metrics if m.family == name]) for name, title in FAMILIES.items()]
    return [part for part in found if part[2]]


def number(value: float | None, metric: Metric) -> str:
    """A value with the metric's digits; more where it would read as 0."""
    if value is None:
        return NONE
    if value and abs(value) < 0.5 * 10**-metric.digits:
        return f"{value:.1e}"
    return f"{value:.{metric.digits}f}"


def with_interval(entry: Entry) -> str:
    """``mean [low, high]``, or the mean alone where there is no interval."""
    if entry.low is None:
        return number(entry.value, entry.metric)
    bounds = f"[{number(entry.low, entry.metric)}, {number(entry.high, entry.metric)}]"
    return f"{number(entry.value, entry.metric)} {bounds}"


BESIDE_NOTE = (
    "Ours less the published number, with a 95 % interval that allows for our error, for the published number's own and for "
    "its rounding. The paper gives no errors: as many subjects as it tested are taken to differ as much as ours. With fewer "
    f"than {MIN_SUBJECTS} test subjects on either side there is no verdict. What else may make them differ is said by codes."
)


def signed(value: float, low: float | None, high: float | None, metric: Metric) -> str:
    """A difference with its sign, ``+1.2 [-0.3, +2.7]``; without the interval where there is none."""
    shown = [f"{end:+.{metric.digits}f}".replace("-", "−") for end in (value, low, high) if end is not None]
    return shown[0] if len(shown) == 1 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def agreement(found: Agreement) -> str:
    """Kendall's tau of a metric for people."""
    if not math.isfinite(found.tau):
        return f"{found.metric.label}: no order, all alike"
    tau = f"{found.tau:+.2f}".replace("-", "−")
    return f"{found.metric.label}: Kendall's τ = {tau} ({found.methods} methods, p = {found.p:.2g})"


def heading(metric: Metric) -> str:
    """A column's heading: label, unit and the arrow towards better (none where the metric is not ranked)."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}" + (f" {metric.arrow}" if metric.ranked else "")


def group_title(plan: Plan, group: Group) -> str:
    """``<data set>: <source> → <target>``."""
    return f"{plan.dataset_label(group.dataset)}: {group.source.upper()} → {group.target.upper()}"


def subjects_note(group: Group) -> str:
    """How many images and subjects the group's numbers rest on, and what that allows."""
    counts = [item.counts for item in group.results if item.complete]
    if not counts:
        return "no cell of this direction is complete"
    images, subjects = counts[0]["images"], counts[0]["subjects"]
    text = f"{images} test slices of {amount(subjects, 'subject')}"
    if (first := first_of(group.source)) != group.source:
        text += f"; what is compared with the source is compared with {first}, the first of its sources"
    if subjects == 1:
        return text + "; no intervals: one subject says nothing about others"
    return f"{text}; 95 % intervals (t, subjects as clusters, {amount(subjects - 1, 'degree')} of freedom)"


def seeds_note(plan: Plan, group: Group) -> str | None:
    """How many seeds the group's numbers are means of, and which methods have fewer; None where there is one for each."""
    several = [item for item in group.results if item.replicates]
    if not several:
        return None
    wanted = max(len(item.replicates) for item in several)
    fewer = [f"{plan.method_label(item.cell.method)}: {item.reason}" for item in several if item.reason]
    for number in range(1, wanted):  # a method may have seeds of its own
        names = [
            plan.method_label(item.cell.method)
            for item in group.results
            if len(item.every) == number and not plan.methods[item.cell.method].deterministic
        ]
        if names:
            fewer.append(f"with {amount(number, 'seed')}: {', '.join(names)}")
    text = (
        f"Means of {wanted} seeds, each trained and translated anew; ± is the standard deviation between seeds, and "
        "intervals allow for subjects and seeds. Without chance in it a method has one"
    )
    return "; ".join([text, *fewer])


def seconds(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return NONE
    if value < 100:
        return f"{value:.3g} s"
    if value < 6000:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"


def footnotes(entries: list[Entry], definition: str) -> list[str]:
    """Why columns are empty and what the distances between real slices are, each once."""
    shown = [entry for entry in entries if entry.metric.family == definition and entry.result.complete]
    missing = [f"{entry.metric.label}: {entry.reason}" for entry in shown if entry.reason]
    real = [
        f"{entry.metric.label} between real test and real training slices: {number(entry.real_to_real, entry.metric)}"
        for entry in shown
        if entry.real_to_real is not None and not entry.result.partial
    ]
    return list(dict.fromkeys(missing + real))
