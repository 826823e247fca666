"""All figures for print of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from xmodbench.files import atomic_dir
from xmodbench.report.figures.curves import draw_cost, draw_subjects, draw_tradeoff
from xmodbench.report.figures.files import STYLE, save
from xmodbench.report.figures.images import draw_cases, draw_directions
from xmodbench.report.model import Report


def drawings(report: Report) -> Iterator[tuple[str, Callable]]:
    """Names of figures and what draws them: called with pyplot, it returns a figure, or None where nothing is to be seen."""
    yield "figure2", partial(draw_directions, report=report)
    for group in report.groups:
        yield f"figure4-{group.key}", partial(draw_cases, report=report, group=group)
    yield "tradeoff", partial(draw_tradeoff, report=report)
    yield "cost", partial(draw_cost, report=report)
    yield "subjects", partial(draw_subjects, report=report)


@contextmanager
def drawing():
    """Yield pyplot as figures for print use it; what was drawn is closed afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        try:
            yield plt
        finally:
            plt.close("all")


def write_prints(report: Report, folder: Path) -> None:
    """Write the folder of figures anew; it is empty where the config wants none."""
    with atomic_dir(folder) as temporary, drawing() as plt:
        for name, draw in drawings(report) if report.plan.config.report.figures else ():
            if (figure := draw(plt)) is not None:
                save(figure, temporary, name)
                plt.close(figure)
