"""What a direction's numbers say, in a few plain sentences: who leads, by how much, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass

from xmodbench.errors import amount
from xmodbench.metrics.differences import compared
from xmodbench.metrics.registry import METRICS
from xmodbench.report.checks import answers
from xmodbench.report.collect import CellResult
from xmodbench.report.model import Report
from xmodbench.report.summary import Group, competes
from xmodbench.report.text import group_title

JUDGED = METRICS["paper.psnr"]
"""Differences are said in it: its unit is known, and copies of the source do not do well in it by construction."""
FEW = 10
TIE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """A direction's sentences; ``caution`` says how far they carry."""

    title: str
    simulated: bool
    sentences: list[str]
    caution: str


def verdicts(report: Report) -> list[Verdict]:
    """One for each direction, in the plan's order."""
    return [
        Verdict(
            group_title(report.plan, group),
            report.plan.simulated(group.dataset),
            _sentences(report, group),
            _caution(group),
        )
        for group in report.groups
    ]


def _sentences(report: Report, group: Group) -> list[str]:
    done = [item for item in group.results if item.complete and competes(report.plan, item)]
    if not done:
        some = any(item.partial for item in group.results)
        return ["No method has scores of all test slices yet." if some else "No method has scores yet."]
    order = _by_rank(report, group, done)
    said = [_leads(report, group, order)]
    best = order[0]
    copies = [item for item in group.results if item.complete and answers(report.plan, item.cell.method) == "source"]
    said += [_against(report, group, best, copy, "a copy of the source") for copy in copies[:1]]
    said += [_against(report, group, best, other, f"{_label(report, other)}, the next") for other in order[1:2]]
    said += _matched(report, best)
    if missing := len([item for item in group.results if not item.complete and not report.control(item.cell)]):
        said.append(f"{missing} method{'s have' if missing > 1 else ' has'} no score here.")
    return said


def _by_rank(report: Report, group: Group, done: list[CellResult]) -> list[CellResult]:
    """From the best mean rank to the worst; as the config has them where there are no ranks."""
    ranks = report.mean_ranks[group.key]
    known = [item for item in done if item.cell.method in ranks]
    return sorted(known, key=lambda item: ranks[item.cell.method].value) or done


def _leads(report: Report, group: Group, order: list[CellResult]) -> str:
    ranks, best = report.mean_ranks[group.key], order[0]
    if len(order) < 2 or not ranks:
        return f"{_label(report, best)} is the only method with scores: only controls can be compared with it."
    counted = report.counted(group)
    first = ranks[best.cell.method].value
    equal = [_label(report, item) for item in order if ranks[item.cell.method].value - first < TIE]
    columns = amount(len(counted), "ranked column")
    if len(equal) > 1:
        return f"{_listed(equal)} share the best mean rank over {columns}."
    won = [entry.metric.label for entry in report.cell_entries(best.cell, counted) if entry.best]
    if not won:
        return f"{_label(report, best)} has the best mean rank over {columns}, though the best value in none."
    rest = "" if 2 * len(won) > len(counted) else ", and the best mean rank"
    return f"{_label(report, best)} has the best {_listed(won)} ({len(won)} of {columns}){rest}."


def _against(report: Report, group: Group, item: CellResult, other: CellResult, name: str) -> str:
    """How far one cell is ahead of another, and whether that could be chance."""
    measured = report.measured[group.key]
    (row,) = compared([measured[item.cell], measured[other.cell]], JUDGED)
    gap, low, high = row["difference"], row["low"], row["high"]
    amount = f"{abs(gap):.2f} {JUDGED.unit}"
    if low is None:
        return f"Its {JUDGED.label} is {amount} {_side(gap)} that of {name} (one subject: no interval)."
    ends = f"[{min(abs(low), abs(high)):.2f}, {max(abs(low), abs(high)):.2f}]"
    if low > 0 or high < 0:
        return f"Its {JUDGED.label} is {amount} {ends} {_side(gap)} that of {name}."
    return f"In {JUDGED.label} it is not clearly apart from {name}: {gap:+.2f} {JUDGED.unit} [{low:+.2f}, {high:+.2f}]."


def _matched(report: Report, best: CellResult) -> list[str]:
    """The controls without skill that are at least as good as it somewhere, by where."""
    controls: dict[tuple[str, ...], list[str]] = {}
    for (cell, control), metrics in report.unskilled.items():
        labels = tuple(metric.label for metric in metrics if metric.family == "paper")
        if cell == best.cell and labels:
            controls.setdefault(labels, []).append(report.plan.method_label(control))
    return [
        f"{_listed(names)}, {'controls' if names[1:] else 'a control'} without skill, {'are' if names[1:] else 'is'} "
        f"at least as good in {_listed(list(labels))}."
        for labels, names in controls.items()
    ]


def _caution(group: Group) -> str:
    counts = next((item.counts for item in group.results if item.complete), None)
    if counts is None:
        return ""
    subjects, images = counts["subjects"], counts["images"]
    text = f"{images} test slices of {amount(subjects, 'subject')}"
    return f"{text}: too few subjects to say much about others." if subjects < FEW else f"{text}."


def _side(gap: float) -> str:
    return "above" if gap > 0 else "below"


def _label(report: Report, item: CellResult) -> str:
    return report.plan.method_label(item.cell.method)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
