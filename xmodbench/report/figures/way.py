"""What a method keeps on the way to a translation, step by step, such as the LMI maps that guide MIDiffusion."""

from __future__ import annotations

import numpy as np

from xmodbench.directions import first_of
from xmodbench.errors import UserError
from xmodbench.report.collect import CellResult
from xmodbench.report.figure import draw_image
from xmodbench.report.figures.files import WIDTH, wrapped
from xmodbench.report.figures.images import MARGIN, RULE, chosen_rows
from xmodbench.report.model import Report
from xmodbench.report.summary import Group
from xmodbench.report.text import group_title
from xmodbench.store import SliceStore

MOST_STEPS = 10
TOP, BOTTOM = 0.3, 0.34  # inches
COLOURS = {"lmi": "viridis"}
"""Of what is no image; anything else is drawn in the grey window of images."""


def kept_on_the_way(item: CellResult) -> dict[str, dict[int, str]]:
    """Names of the arrays by word and step, both in order."""
    found: dict[str, dict[int, str]] = {}
    for name in item.intermediates:
        word, _, step = name.rpartition("_")
        found.setdefault(word, {})[int(step)] = name
    return {word: dict(sorted(steps.items())) for word, steps in found.items()}


def draw_way(plt, report: Report, group: Group, item: CellResult):
    """A row for each word, a column for each step, with source, translation and target of the direction's median case."""
    rows = kept_on_the_way(item)
    try:
        images = _median_case(report, group, item, rows)
    except (UserError, KeyError):
        return None
    steps = sorted({step for kept in rows.values() for step in kept})
    if len(steps) > MOST_STEPS:
        steps = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, MOST_STEPS)]
    columns = len(steps) + 3
    panel = min(1.1, (WIDTH - MARGIN) / columns)
    height = TOP + BOTTOM + panel * len(rows)
    figure = plt.figure(figsize=(WIDTH, height))
    axis = figure.add_axes((MARGIN / WIDTH, BOTTOM / height, panel * columns / WIDTH, panel * len(rows) / height))
    axis.set_axis_off()
    for place, name in {0: "source", columns - 2: "translation", columns - 1: "target"}.items():
        _head(axis, place, name)
        draw_image(axis, images[name], place, 0, cmap="gray", vmax=1)
    tops = []
    for number, (word, kept) in enumerate(rows.items()):
        axis.text(
            0.95 if number else -0.05,
            number + 0.5,
            word.upper() if word in COLOURS else word,
            fontsize=7,
            ha="right",
            va="center",
            rotation=90,
        )
        top = max((float(images[name].max()) for name in kept.values()), default=1.0) or 1.0
        top = top if word in COLOURS else 1.0
        if word in COLOURS:
            tops.append(f"{word.upper()}: 0 to {top:.2g}, dark to yellow.")
        for place, step in enumerate(steps, 1):
            _head(axis, place, f"step {step}")
            if step in kept:
                draw_image(axis, images[kept[step]], place, number, cmap=COLOURS.get(word, "gray"), vmax=top)
    axis.set(xlim=(0, columns), ylim=(len(rows), 0))
    simulated = "Simulated data. " if report.plan.simulated(group.dataset) else ""
    where = f"{report.plan.method_label(item.cell.method)}, {group_title(report.plan, group)}, median case."
    said = " ".join([simulated + where, RULE, *tops])
    figure.text(0.01, 0.05 / height, wrapped(said, 138, 2), fontsize=6.5, va="bottom", color="#333333")
    return figure


def _head(axis, place: int, text: str) -> None:
    axis.text(place + 0.5, -0.05, text, fontsize=7, ha="center", va="bottom")


def _median_case(report: Report, group: Group, item: CellResult, rows) -> dict[str, np.ndarray]:
    """Images [H, W] of the median case by name."""
    row = chosen_rows(report, group)["median"]
    test = SliceStore(report.plan.data_dir(group.dataset) / "test")
    store = SliceStore(report.plan.translation_dir(item.runs[0].cell))
    found = {"source": test.array(first_of(group.source))[row], "target": test.array(group.target)[row]}
    found["translation"] = store.array(group.target)[row]
    return found | {name: store.array(name)[row] for kept in rows.values() for name in kept.values()}
