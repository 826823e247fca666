"""The qualitative figures in the layout of papers: methods in columns; directions, or cases of one, in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmodbench.directions import first_of
from xmodbench.errors import UserError
from xmodbench.metrics.registry import METRICS
from xmodbench.report.figure import ERROR_COLOURS, ERROR_WINDOW, draw_image, in_blocks
from xmodbench.report.figures.files import WIDTH, wrapped
from xmodbench.report.model import Report
from xmodbench.report.summary import Group
from xmodbench.report.text import group_title
from xmodbench.store import SliceStore

MOST_METHODS = 40
"""Methods in a figure: what a page is high enough for."""
MARGIN, TOP, BOTTOM = 0.62, 0.42, 0.34  # inches: labels of rows, of columns, and what is said below
CASES = {"worst": 0.0, "median": 0.5, "best": 1.0}
RULE = "Cases by the PSNR (paper) that a slice has on average over the methods; controls do not count."


@dataclass(frozen=True)
class Line:
    """A row of images: a slice's source, target and translations, each [H, W] or None."""

    label: str
    source: np.ndarray
    target: np.ndarray
    translations: dict[str, np.ndarray | None]
    simulated: bool


def chosen_rows(report: Report, group: Group) -> dict[str, int]:
    """Rows of the test store by case; none where no method has scores."""
    done = [item for item in group.results if item.whole and not report.control(item.cell)]
    if not done:
        return {}
    values = np.mean([item.image_scores["paper.psnr"].to_numpy(float) for item in done], axis=0)
    sign = 1 if METRICS["paper.psnr"].higher_is_better else -1
    order = np.argsort(sign * values, kind="stable")
    return {case: int(order[round(place * (len(order) - 1))]) for case, place in CASES.items()}


def lines_of(report: Report, group: Group, cases: tuple[str, ...]) -> list[Line]:
    """The rows of a direction; none where its test store cannot be read."""
    plan, rows = report.plan, chosen_rows(report, group)
    try:
        test = SliceStore(plan.data_dir(group.dataset) / "test")
        source, target = test.array(first_of(group.source)), test.array(group.target)
    except UserError:
        return []
    images = {item.cell.method: _images(report, item, target.shape) for item in group.results}
    shown = {name: images.get(name) for name in methods_shown(report)}  # some are in other directions only
    return [
        Line(
            case,
            source[rows[case]],
            target[rows[case]],
            {name: None if stack is None else stack[rows[case]] for name, stack in shown.items()},
            plan.simulated(group.dataset),
        )
        for case in cases
        if case in rows
    ]


def methods_shown(report: Report) -> list[str]:
    """Ids of the methods in columns; controls are known by sight."""
    names = {item.cell.method: None for item in report.results if not report.control(item.cell)}
    return list(names)[:MOST_METHODS]


def _images(report: Report, item, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        images = (
            SliceStore(report.plan.translation_dir(item.runs[0].cell)).array(item.cell.target) if item.whole else None
        )
    except UserError:
        return None
    return images if images is not None and images.shape == shape else None


def draw_directions(plt, report: Report):
    """Each direction's median case in a row; None where there is nothing to show."""
    lines = []
    for group in report.groups:
        for line in lines_of(report, group, ("median",)):
            title = group_title(report.plan, group).replace(": ", "\n")
            lines.append(Line(title, line.source, line.target, line.translations, line.simulated))
    return _canvas(plt, report, lines, ("source", "target"), errors=False, said="Each direction's median case. " + RULE)


def draw_cases(plt, report: Report, group: Group):
    """The worst, the median and the best case of a direction, each with its errors; None where there is nothing to show."""
    lines = lines_of(report, group, tuple(CASES))
    heads = (f"source ({first_of(group.source).upper()})", f"target ({group.target.upper()})")
    errors = f"Below: |translation − target|, 0 to {ERROR_WINDOW:g}, dark blue to yellow."
    said = f"{group_title(report.plan, group)}. {RULE} {errors}"
    return _canvas(plt, report, lines, heads, errors=True, said=said)


def _canvas(plt, report: Report, lines: list[Line], heads: tuple[str, str], *, errors: bool, said: str):
    """All images on one axis whose unit is a panel, rows downwards: many axes are slow to draw."""
    if not lines:
        return None
    names = methods_shown(report)
    blocks, step = in_blocks(names), 2 if errors else 1
    columns, rows = 2 + len(blocks[0]), step * len(lines)
    panel = min(1.3, (WIDTH - MARGIN) / columns)
    pitch = rows + TOP / panel  # from block to block, labels of columns included
    high = pitch * len(blocks) - TOP / panel
    height = TOP + BOTTOM + panel * high
    figure = plt.figure(figsize=(WIDTH, height))
    axis = figure.add_axes((MARGIN / WIDTH, BOTTOM / height, panel * columns / WIDTH, panel * high / height))
    axis.set_axis_off()
    for block, shown in enumerate(blocks):
        top = block * pitch
        for place, title in enumerate([*heads, *map(report.plan.method_label, shown)]):
            text = wrapped(title, max(8, int(panel * 16)), 2)
            axis.text(place + 0.5, top - 0.05, text, fontsize=7, ha="center", va="bottom")
        for number, line in enumerate(lines):
            _draw_line(axis, line, shown, top + step * number, errors)
    axis.set(xlim=(0, columns), ylim=(high, 0))
    simulated = "Simulated data. " if any(line.simulated for line in lines) else ""
    left_out = len({it.cell.method for it in report.results if not report.control(it.cell)}) - len(names)
    more = f" {left_out} more methods are in the tables." if left_out else ""
    figure.text(
        0.01, 0.05 / height, wrapped(simulated + said + more, 138, 2), fontsize=6.5, va="bottom", color="#333333"
    )
    return figure


def _draw_line(axis, line: Line, names: Sequence[str], row: float, errors: bool) -> None:
    """A slice's images in a row, of these methods, and below the translations their errors."""
    colour = "#a33b00" if line.simulated else "black"
    label = wrapped(line.label, 16)
    axis.text(
        -0.05, row + 0.5, label, fontsize=7, color=colour, rotation=90, ha="right", va="center", multialignment="center"
    )
    for place, image in enumerate([line.source, line.target, *map(line.translations.get, names)]):
        if image is None:
            axis.text(place + 0.5, row + 0.5, "no score", fontsize=7, ha="center", va="center")
            continue
        draw_image(axis, image, place, row, cmap="gray", vmax=1)
        if errors and place > 1:
            error = np.abs(np.asarray(image, np.float64) - line.target)
            draw_image(axis, error, place, row + 1, cmap=ERROR_COLOURS, vmax=ERROR_WINDOW)
