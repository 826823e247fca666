"""Plots of the user's own: Python files whose ``plot`` gets the report's table and returns a figure."""

from __future__ import annotations

import ast
import runpy
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError, plain
from xmodbench.report.figures.files import drawing, printed
from xmodbench.report.model import Report
from xmodbench.report.tables import long_table


@dataclass(frozen=True)
class OwnPlot:
    """What came of one file: a figure of matplotlib with its ``png``, one of plotly, or the ``problem`` in a line."""

    name: str
    title: str
    figure: Any = None
    png: bytes | None = None
    problem: str | None = None


def own_plots(report: Report) -> list[OwnPlot]:
    """Run each file and draw its figure: what goes wrong is a line in the report and stops nothing."""
    return [_plot(path, report) for path in report.plan.plot_files()]


def _plot(path: Path, report: Report) -> OwnPlot:
    title = path.stem
    try:
        # a script that lies there for something else is not run to find out
        tree = ast.parse(path.read_bytes(), str(path))
        if not any(isinstance(node, ast.FunctionDef) and node.name == "plot" for node in tree.body):
            raise UserError("has no function plot(table)", path)
        names = runpy.run_path(str(path))
        title = plain((names.get("__doc__") or title).strip().partition("\n")[0])
        with drawing({}):
            return _figure(path, title, names["plot"](long_table(report)))
    except UserError as error:
        return OwnPlot(path.stem, title, problem=str(error))
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        return OwnPlot(path.stem, title, problem=plain(f"{where}: {type(error).__name__}: {error}"))


def _figure(path: Path, title: str, figure: Any) -> OwnPlot:
    if hasattr(figure, "savefig"):
        return OwnPlot(path.stem, title, figure, printed(figure))
    if not hasattr(figure, "to_plotly_json"):
        raise UserError(f"plot(table) returned {type(figure).__name__}, not a figure of matplotlib or plotly", path)
    figure.to_json()  # where it cannot be written, it fails here
    return OwnPlot(path.stem, title, figure)
