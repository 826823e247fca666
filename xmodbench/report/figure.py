"""The qualitative figure: test slices, their translations, a detail of each and the error, in one shared window."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.files import atomic_file
from xmodbench.metrics.paired import FOREGROUND_THRESHOLD
from xmodbench.report.collect import CellResult
from xmodbench.report.model import Report
from xmodbench.report.summary import Group
from xmodbench.report.text import group_title
from xmodbench.store import SliceStore

T = TypeVar("T")

ERROR_WINDOW = 0.5
"""Upper end of the error maps' window, as a share of the intensity range; the lower end is 0."""
ERROR_COLOURS = "cividis"  # readable with any colour vision
PANEL = 1.15  # inches
HEAD = 0.35  # inches of the labels above columns
MOST_COLUMNS = 10
"""Columns of methods that can be told apart at the width of a page; more continue in a block below."""
MOST_METHODS = 60
"""Methods in a picture; with some hundreds it would be higher than PNGs can be drawn."""
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "xmodbench",
    "image.composite_image": False,  # pixels stay pixels, at any zoom
    "figure.dpi": 200,
}


@dataclass(frozen=True)
class Column:
    """One column of panels: a name and images [k, H, W], or the reason why there are none."""

    title: str
    images: np.ndarray | None
    problem: str | None = None
    is_translation: bool = True


@dataclass(frozen=True)
class Panels:
    """What is drawn for a group: its columns, the slices' ids and the detail's corner in each slice."""

    columns: list[Column]
    ids: list[str]
    corners: list[tuple[int, int]]
    side: int
    left_out: int = 0  # methods beyond those that a picture can hold

    @property
    def blocks(self) -> list[list[Column]]:
        """Columns that stand beside each other: what the methods are compared with comes first in every block."""
        beside = [column for column in self.columns if not column.is_translation]
        return [[*beside, *block] for block in in_blocks([one for one in self.columns if one.is_translation])]


def in_blocks(methods: Sequence[T]) -> list[Sequence[T]]:
    """Methods divided among as few blocks as hold them, about as many in each; one that is empty for none."""
    count = max(1, -(-len(methods) // MOST_COLUMNS))
    size = max(1, -(-len(methods) // count))
    return [methods[start : start + size] for start in range(0, max(1, len(methods)), size)]


def write_figures(report: Report, out_dir: Path) -> dict[str, bytes]:
    """Write ``figure.png`` and ``figure.svg`` with all groups, and return a PNG of each group for the page.

    Groups whose test store cannot be read are left out (the tables say why).
    """
    panels = {group.key: read_panels(report, group) for group in report.groups}
    shown = [(group, found) for group in report.groups if (found := panels[group.key])]
    with _drawing() as plt:
        whole = _canvas(plt, report, shown)
        for suffix in ("png", "svg"):
            with atomic_file(out_dir / f"figure.{suffix}") as temporary:
                # no date: the same run gives the same bytes
                options = {"metadata": {"Date": None}} if suffix == "svg" else {"pil_kwargs": {"compress_level": 3}}
                whole.savefig(temporary, format=suffix, **options)
    return _cut(out_dir / "figure.png", shown)


def read_panels(report: Report, group: Group) -> Panels | None:
    """The slices to show and all methods' images of them; None without a test store.

    Of controls only the copy-like ones are known by sight (the source and target columns), so none is drawn.
    """
    plan = report.plan
    try:
        test = SliceStore(plan.data_dir(group.dataset) / "test")
        target = test.array(group.target)
        sources = {name: test.array(name) for name in modalities_of(group.source)}
    except UserError:
        return None
    chosen = choose_slices(test, target, plan.config.report.figure_slices)
    columns = [
        *(Column(f"source ({name.upper()})", source[chosen], is_translation=False) for name, source in sources.items()),
        Column(f"target ({group.target.upper()})", target[chosen], is_translation=False),
    ]
    methods = [item for item in group.results if not report.control(item.cell)]
    columns += [_column(report, item, test, chosen) for item in methods[:MOST_METHODS]]
    side = max(8, target.shape[1] // 3)
    ids = [test.ids[index] for index in chosen]
    corners = [detail(image, side) for image in target[chosen]]
    return Panels(columns, ids, corners, side, left_out=len(methods[MOST_METHODS:]))


def choose_slices(test: SliceStore, target: np.ndarray, count: int) -> list[int]:
    """Indices of `count` slices: of subjects spread evenly over the test set, each one's slice with most anatomy."""
    area = (np.asarray(target) > FOREGROUND_THRESHOLD).sum(axis=(1, 2))
    rows = test.slices.assign(area=area, index=range(len(area))).sort_values(["area", "index"], ascending=[False, True])
    best = rows.groupby("subject", sort=True)["index"].first().tolist()
    if len(best) < count:  # few subjects: further slices of theirs
        best += [index for index in rows["index"] if index not in best][: count - len(best)]
    places = np.linspace(0, len(best) - 1, min(count, len(best))).round().astype(int)
    return [int(best[place]) for place in places]


def detail(image: np.ndarray, side: int) -> tuple[int, int]:
    """Upper left corner of the square of `side` pixels with the strongest edges."""
    gradient = np.hypot(*np.gradient(np.asarray(image, np.float64)))
    sums = np.pad(gradient.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, left = np.unravel_index(boxes.argmax(), boxes.shape)
    return int(row), int(left)


def _column(report: Report, item: CellResult, test: SliceStore, chosen: list[int]) -> Column:
    label = report.plan.method_label(item.cell.method)
    if not item.complete:
        return Column(label, None, item.reason if item.status == "failed" else "not run")
    try:
        store = SliceStore(report.plan.translation_dir(item.runs[0].cell))
        images = _images(store, item.cell.target, [test.ids[index] for index in chosen] if item.partial else chosen)
    except (UserError, IndexError) as error:
        return Column(label, None, str(error))
    return Column(label, images)


def _images(store: SliceStore, target: str, chosen: list[int] | list[str]) -> np.ndarray:
    """Images [k, H, W] by row or by id; NaN, which is drawn as nothing, for an id that is not there."""
    array = store.array(target)
    places = {image_id: row for row, image_id in enumerate(store.ids)}
    blank = np.full(array.shape[1:], np.nan, np.float32)
    rows = [places.get(item) if isinstance(item, str) else item for item in chosen]
    return np.stack([blank if row is None else array[row] for row in rows])


# -- drawing --------------------------------------------------------------------------------------------------------------
@contextmanager
def _drawing():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        try:
            yield plt
        finally:
            plt.close("all")


def _canvas(plt, report: Report, shown: list[tuple[Group, Panels]]):
    """A figure with a block for each group."""
    if not shown:
        figure = plt.figure(figsize=(6, 1.5))
        figure.text(0.5, 0.5, "no test slices to show", ha="center", va="center", fontsize=10)
        return figure
    heights = [_height(panels) for _, panels in shown]
    width = max(len(panels.blocks[0]) for _, panels in shown) * PANEL + 1.5
    figure = plt.figure(figsize=(max(width, 5.5), sum(heights)))
    blocks = np.atleast_1d(figure.subfigures(len(shown), 1, height_ratios=heights))
    for block, height, (group, panels) in zip(blocks, heights, shown, strict=True):
        _draw_group(block, height, figure.get_figwidth(), report, group, panels)
    return figure


def _draw_group(block, height: float, width: float, report: Report, group: Group, panels: Panels) -> None:
    simulated = report.plan.simulated(group.dataset)
    title = _literal(group_title(report.plan, group)) + (" (simulated data)" if simulated else "")
    title += f"; {panels.left_out} more methods are in the tables" if panels.left_out else ""
    colour = "#a33b00" if simulated else "black"
    block.text(0.1 / width, 1 - 0.2 / height, title, fontsize=10, weight="bold", color=colour, va="center")
    blocks, rows = panels.blocks, 3 * len(panels.ids)
    pitch = rows + HEAD / PANEL  # from block to block, labels of columns included
    columns, high = len(blocks[0]), pitch * len(blocks) - HEAD / PANEL
    # one axis whose unit is a panel, rows downwards: many axes are slow to draw
    axis = block.add_axes((0.75 / width, 0.08 / height, columns * PANEL / width, high * PANEL / height))
    axis.set(xlim=(0, columns), ylim=(high, 0))
    axis.set_axis_off()
    for number, shown in enumerate(blocks):
        _draw_block(axis, shown, panels, number * pitch)
    _scales(axis, columns)


def _draw_block(axis, columns: list[Column], panels: Panels, first: float) -> None:
    """Columns beside each other, from a height on."""
    for place, column in enumerate(columns):
        axis.text(place + 0.5, first - 0.05, _wrapped(column.title), fontsize=8, ha="center", va="bottom")
        for number in range(len(panels.ids)):
            _draw_column(axis, column, panels, place, number, first + 3 * number)
    for number, name in enumerate(panels.ids):
        top = first + 3 * number
        for row, label in enumerate(("image", "detail", "error")):
            axis.text(-0.05, top + row + 0.5, label, fontsize=8, rotation=90, ha="right", va="center")
        axis.text(0.02, top + 2.05, _wrapped(f"slice {name}", 18, 3), fontsize=8, va="top")


def _draw_column(axis, column: Column, panels: Panels, place: int, number: int, top: float) -> None:
    """Image, detail and error of one slice in one column, from a height on."""
    if column.images is None:
        text = _wrapped(f"failed: {column.problem}" if column.problem != "not run" else "not run", 17, 6)
        axis.text(place + 0.02, top + 0.02, text, fontsize=8, va="top", color="#a33b00")
        return
    image, (row, left), side = column.images[number], panels.corners[number], panels.side
    draw_image(axis, image, place, top, cmap="gray", vmax=1)
    draw_image(axis, image[row : row + side, left : left + side], place, top + 1, cmap="gray", vmax=1)
    if column.title.startswith("target"):
        x, y = (left + side * np.array([0, 1, 1, 0, 0])) / image.shape[1], np.array([0, 0, 1, 1, 0])
        axis.plot(place + x, top + (row + side * y) / image.shape[0], color="#e69f00", linewidth=0.8)
    if column.is_translation:
        targets = next(one.images for one in panels.columns if one.title.startswith("target"))
        assert targets is not None
        error = np.abs(np.asarray(image, np.float64) - targets[number])
        draw_image(axis, error, place, top + 2, cmap=ERROR_COLOURS, vmax=ERROR_WINDOW)


def draw_image(axis, image: np.ndarray, place: int, row: float, **window) -> None:
    """An image [H, W] in the panel of a column and a row; `window` as `imshow` takes it, from 0 on."""
    gap = 0.012
    extent = (place + gap, place + 1 - gap, row + 1 - gap, row + gap)
    axis.imshow(image, extent=extent, vmin=0, interpolation="nearest", aspect="auto", **window)


def _scales(axis, columns: int) -> None:
    """Scale bars right of the first image and error rows: those below have the same windows."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    for row, top, colours, label in ((0, 1.0, "gray", "intensity"), (2, ERROR_WINDOW, ERROR_COLOURS, "|error|")):
        bar = axis.inset_axes([columns + 0.06, row + 0.1, 0.07, 0.8], transform=axis.transData)
        scale = axis.figure.colorbar(ScalarMappable(Normalize(0, top), colours), cax=bar, ticks=[0, top])
        scale.outline.set_linewidth(0.4)
        scale.ax.tick_params(labelsize=8, length=2, pad=1)
        scale.ax.set_yticklabels(["0", f"≥ {top:g}" if row == 2 else f"{top:g}"])
        scale.set_label(label, fontsize=8, labelpad=-6 if row == 0 else -14)


def _wrapped(text: str, width: int = 20, lines: int = 2) -> str:
    import textwrap

    return _literal("\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder="…")))


def _literal(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def _height(panels: Panels) -> float:
    """Inches of a group's block."""
    return (3 * len(panels.ids) * PANEL + HEAD) * len(panels.blocks) + 0.4


def _cut(path: Path, shown: list[tuple[Group, Panels]]) -> dict[str, bytes]:
    """The blocks of the drawn figure as PNGs of their own (cutting is much quicker than drawing again)."""
    from PIL import Image

    pieces, top = {}, 0.0
    with Image.open(path) as whole:
        scale = whole.height / sum(_height(panels) for _, panels in shown) if shown else 0
        for group, panels in shown:
            bottom, buffer = top + _height(panels) * scale, io.BytesIO()
            whole.crop((0, round(top), whole.width, round(bottom))).convert("RGB").save(buffer, "png", compress_level=3)
            pieces[group.key], top = buffer.getvalue(), bottom
    return pieces
