"""Plots for print: faithfulness against realism, cost against quality, and subjects one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xmodbench.metrics.registry import METRICS
from xmodbench.report.checks import answers
from xmodbench.report.collect import CellResult
from xmodbench.report.cost import seconds_per_image
from xmodbench.report.figures.files import WIDTH, literal, wrapped
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import COLOURS, distance_of
from xmodbench.report.summary import Group
from xmodbench.report.text import group_title, heading

MARKERS = "osD^Pv*Xh<>d"
PANEL = 2.35  # inches
QUALITY = METRICS["paper.psnr"]
Point = tuple[CellResult, float, float]


def draw_tradeoff(plt, report: Report):
    """Similarity with the source against the distance between sets, a panel for each direction."""
    faithful, distance = METRICS["standard.ssim_src"], distance_of(report)

    def points(group: Group) -> list[Point]:
        found = []
        for item in group.results:
            x, y = (entry.value for entry in report.cell_entries(item.cell, [faithful, distance]))
            if x is not None and y is not None:
                found.append((item, x, y))
        return found

    return _panels(plt, report, points, f"faithfulness: {heading(faithful)}", f"{heading(distance)}")


def draw_cost(plt, report: Report):
    """Seconds per image against PSNR, a panel for each direction; controls cost nothing and are left out."""

    def points(group: Group) -> list[Point]:
        found = []
        for item in group.results:
            seconds, (entry,) = seconds_per_image(item), report.cell_entries(item.cell, [QUALITY])
            if seconds and entry.value is not None and not report.control(item.cell):
                found.append((item, seconds, entry.value))
        return found

    return _panels(plt, report, points, "seconds per image", heading(QUALITY), log=True)


def _panels(plt, report: Report, points: Callable[[Group], list[Point]], x: str, y: str, *, log: bool = False):
    shown = [(group, found) for group in report.groups if (found := points(group))]
    if not shown:
        return None
    figure, axes = _grid(plt, report, [group for group, _ in shown])
    names = [
        name
        for name in report.plan.methods
        if any(item.cell.method == name for _, found in shown for item, *_ in found)
    ]
    for axis, (_, found) in zip(axes, shown, strict=False):
        for item, across, up in found:
            control = report.control(item.cell)
            place = names.index(item.cell.method)
            colour = "#7f7f7f" if control else COLOURS[place % (len(COLOURS) - 1)]
            style = {"marker": MARKERS[place % len(MARKERS)], "markersize": 6, "linestyle": "none", "color": colour}
            label = wrapped(report.plan.method_label(item.cell.method), 34, 1)
            axis.plot([across], [up], label=label, fillstyle="none" if control else "full", **style)
        axis.set(xlabel=literal(x), ylabel=literal(y))
        axis.margins(0.12)
        if log:
            axis.set_xscale("log")
            _decades(axis.xaxis)
    _legend(figure, axes)
    return figure


def _decades(axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def draw_subjects(plt, report: Report):
    """Each subject's mean PSNR by method, joined by lines: the same people under every method."""
    shown = [group for group in report.groups if _compared(report, group)]
    if not shown:
        return None
    figure, axes = _grid(plt, report, shown)
    for axis, group in zip(axes, shown, strict=False):
        items = _compared(report, group)
        means = [item.subject_means([QUALITY.id])[QUALITY.id] for item in items]
        names = [wrapped(report.plan.method_label(item.cell.method), 15, 2) for item in items]
        for subject in means[0].index:
            axis.plot(
                names, [mean[subject] for mean in means], color="#9aa5b1", linewidth=0.8, marker="o", markersize=2.5
            )
        averages = [float(mean.mean()) for mean in means]
        axis.plot(names, averages, color="black", linewidth=0, marker="D", markersize=5, label="mean of the subjects")
        axis.set_ylabel(literal(heading(QUALITY)))
        axis.tick_params(axis="x", rotation=40)
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    _legend(figure, axes)
    return figure


def _compared(report: Report, group: Group) -> list[CellResult]:
    """Methods and controls but the one that answers with the target, which would squeeze the rest."""
    return [item for item in group.results if item.whole and answers(report.plan, item.cell.method) != "target"]


def _grid(plt, report: Report, groups: list[Group]):
    """A figure with a panel for each direction, at most two in a row; simulated data are said to be so."""
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, PANEL * rows + 0.9), squeeze=False, layout="constrained")
    for axis, group in zip(axes.flat, groups, strict=False):
        simulated = report.plan.simulated(group.dataset)
        title = group_title(report.plan, group)
        title += " (simulated)" if simulated and "simulated" not in title else ""
        axis.set_title(literal(title), color="#a33b00" if simulated else "black")
        axis.grid(color="#e3e8ee", linewidth=0.6)
        axis.set_axisbelow(True)
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    return figure, list(axes.flat)


def _legend(figure, axes) -> None:
    found: dict[str, Any] = {}
    for axis in axes:
        found |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(4, len(found)), handletextpad=0.3)
