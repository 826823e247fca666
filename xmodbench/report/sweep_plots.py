"""Quality against the value of an option that methods sweep, such as the share of the source they see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xmodbench.metrics.registry import METRICS, Metric
from xmodbench.plan.methods import shown
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report.checks import answers
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import (
    COLOURS,
    SYMBOLS,
    base_layout,
    distance_of,
    interval_bars,
    legend_name,
    plain,
    swept,
)
from xmodbench.report.text import heading, with_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

Points = dict[float, str]  # ids of methods by the option's value, ascending
ROW, ABOVE, BELOW = 250, 72, 110  # pixels of a direction's plots, and of the titles and legend around all
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")


def sweep_plots(report: Report) -> dict[str, go.Figure]:
    """A figure for each swept option: a row for each direction, a column for each of three metrics, a line for each
    method that sweeps the option; methods that sweep nothing are level lines."""
    return {option: _figure(report, option, families) for option, families in sweeps(report.plan).items()}


def sweeps(plan: Plan) -> dict[str, dict[str, Points]]:
    """By option and entry of the config: the sweeps over one number with at least two values."""
    found: dict[str, dict[str, Points]] = {}
    for name, method in plan.methods.items():
        if place := swept(method):
            found.setdefault(place[0], {}).setdefault(method.family, {})[place[1]] = name
    several = {
        option: {family: dict(sorted(points.items())) for family, points in families.items() if len(points) > 1}
        for option, families in found.items()
    }
    return {option: families for option, families in several.items() if families}


def _figure(report: Report, option: str, families: dict[str, Points]) -> go.Figure:
    from plotly.subplots import make_subplots

    metrics = [METRICS["standard.psnr"], METRICS["standard.ssim_tar"], distance_of(report)]
    groups, height = report.groups, ROW * len(report.groups)
    figure = make_subplots(
        rows=len(groups),
        cols=len(metrics),
        shared_xaxes="all",
        column_titles=[heading(metric).replace(" (", "<br>(", 1) for metric in metrics],  # short, for narrow screens
        row_titles=[legend_name(report, group) for group in groups] if len(groups) > 1 else None,
        vertical_spacing=0.1 / len(groups),
        horizontal_spacing=0.06,
    )
    for row, group in enumerate(groups, 1):
        cells = {item.cell.method: item.cell for item in group.results}
        for column, metric in enumerate(metrics, 1):
            for line in (*_levels(report, cells, metric, families), *_lines(report, cells, metric, option, families)):
                line.showlegend = row == column == 1 and line.name is not None
                figure.add_trace(line, row, column)
    figure.update_layout(**base_layout(height + ABOVE + BELOW))
    figure.update_layout(margin={"t": ABOVE, "b": BELOW, "r": 28}, legend_y=-58 / height)
    figure.update_annotations(font_size=12)
    _value_axes(figure, option, sorted({value for points in families.values() for value in points}), len(groups))
    return figure


def _lines(report: Report, cells: dict[str, Cell], metric: Metric, option: str, families) -> Iterator[go.Scatter]:
    """A line with intervals for each family, and a tick for each of several seeds; a cell without a value is a gap."""
    import plotly.graph_objects as go

    for place, (family, points) in enumerate(families.items()):
        entries = [report.cell_entries(cells[name], [metric])[0] for name in points.values()]
        yield go.Scatter(
            x=list(points),
            y=[entry.value for entry in entries],
            error_y=interval_bars(entries),
            mode="lines+markers",
            line={"width": 2, "color": COLOURS[place % len(COLOURS)]},
            marker={"size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            name=_family_label(report.plan, family, points),
            legendgroup=family,
            legendrank=1,
            customdata=[
                f"{option} {shown(value)}: {with_interval(entry)}" for value, entry in zip(points, entries, strict=True)
            ],
            hovertemplate="%{fullData.name}<br>%{customdata}<extra></extra>",
        )
        several = [
            (value, one)
            for value, entry in zip(points, entries, strict=True)
            for one in entry.seeds[1:] and entry.seeds
        ]
        if several:
            yield go.Scatter(
                x=[value for value, _ in several],
                y=[one for _, one in several],
                mode="markers",
                marker={"size": 9, "symbol": "line-ew-open", "color": COLOURS[place % len(COLOURS)]},
                legendgroup=family,
                hovertemplate="one seed: %{y:.5g}<extra></extra>",
            )


def _levels(report: Report, cells: dict[str, Cell], metric: Metric, families) -> Iterator[go.Scatter]:
    """Level lines of the methods and controls that sweep nothing; the one that answers with the target would squeeze the
    rest."""
    import plotly.graph_objects as go

    values = [value for points in families.values() for value in points]
    level = [name for name, method in report.plan.methods.items() if not method.point]
    for place, name in enumerate(name for name in level if answers(report.plan, name) != "target"):
        entry = report.cell_entries(cells[name], [metric])[0]
        yield go.Scatter(
            x=[min(values), max(values)],
            y=[entry.value] * 2,
            mode="lines",
            line={"width": 1.5, "color": "#7f7f7f" if report.control(cells[name]) else "#000000"},
            line_dash=DASHES[place % len(DASHES)],
            name=plain(report.plan.method_label(name)),
            legendgroup=name,
            customdata=[with_interval(entry)] * 2,
            hovertemplate="%{fullData.name}<br>%{customdata}<extra></extra>",
        )


def _family_label(plan: Plan, family: str, points: Points) -> str:
    method = plan.methods[next(iter(points.values()))]
    return plain(method.entry.label or method.plugin.label)


def _value_axes(figure: go.Figure, option: str, values: list[float], rows: int) -> None:
    """Ticks at the swept values; logarithmic where these span more than a decade."""
    wide = values[0] > 0 and values[-1] > 10 * values[0]
    figure.update_xaxes(type="log" if wide else "linear", minor_ticks="")
    if len(values) <= 10:
        figure.update_xaxes(tickvals=values, ticktext=[shown(value) for value in values])
    figure.update_xaxes(title=plain(option), row=rows)
    figure.update_yaxes(automargin=True, nticks=6)
