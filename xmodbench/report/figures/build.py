"""All figures for print of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from xmodbench.files import atomic_dir
from xmodbench.report.figures.curves import draw_cost, draw_subjects, draw_tradeoff
from xmodbench.report.figures.files import drawing, printed, save
from xmodbench.report.figures.images import draw_cases, draw_directions
from xmodbench.report.figures.way import draw_way
from xmodbench.report.model import Report
from xmodbench.report.own_plots import OwnPlot

MOST_WAYS = 12
"""Pictures of ways on the page; all are among the figures."""


def drawings(report: Report) -> Iterator[tuple[str, Callable]]:
    """Names of figures and what draws them: called with pyplot, it returns a figure, or None where nothing is to be seen."""
    yield "figure2", partial(draw_directions, report=report)
    for group in report.groups:
        yield f"figure4-{group.key}", partial(draw_cases, report=report, group=group)
    yield from ways(report)
    yield "tradeoff", partial(draw_tradeoff, report=report)
    yield "cost", partial(draw_cost, report=report)
    yield "subjects", partial(draw_subjects, report=report)


def ways(report: Report) -> Iterator[tuple[str, Callable]]:
    """The same of what methods keep on the way."""
    for group in report.groups:
        for item in group.results:
            if item.complete and item.intermediates:
                name = f"steps-{item.cell.method}-{group.key}"
                yield name, partial(draw_way, report=report, group=group, item=item)


def way_pictures(report: Report, folder: Path) -> list[tuple[str, bytes]]:
    """Names and PNGs of the first of these, for the page; see `front_picture`."""
    found = [(name, _picture(name, draw, folder)) for name, draw in islice(ways(report), MOST_WAYS)]
    return [(name, picture) for name, picture in found if picture is not None]


def front_picture(report: Report, folder: Path) -> bytes | None:
    """The first figure as a PNG, for the page's first screen; None where no slices can be read.

    Args:
        folder: where `write_prints` wrote; what is not there is drawn.
    """
    return _picture("figure2", partial(draw_directions, report=report), folder)


def _picture(name: str, draw: Callable, folder: Path) -> bytes | None:
    if (path := folder / f"{name}.png").is_file():
        return path.read_bytes()
    with drawing() as plt:
        figure = draw(plt)
        return None if figure is None else printed(figure)


def write_prints(report: Report, folder: Path, own: Sequence[OwnPlot] = ()) -> None:
    """Write the folder of figures anew, the user's own among them; where the config wants none, only those."""
    with atomic_dir(folder) as temporary, drawing() as plt:
        for name, draw in drawings(report) if report.plan.config.report.figures else ():
            if (figure := draw(plt)) is not None:
                save(figure, temporary, name)
                plt.close(figure)
        for plot in own:
            if plot.png:
                save(plot.figure, temporary, f"own-{plot.name}")
