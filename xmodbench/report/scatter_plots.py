"""The page's plots of one thing against another: faithfulness against realism, cost against quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmodbench.metrics.registry import METRICS
from xmodbench.plan.methods import shown
from xmodbench.report.collect import CellResult
from xmodbench.report.cost import seconds_per_image
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import (
    COLOURS,
    SYMBOLS,
    base_layout,
    categories,
    distance_of,
    interval_bars,
    legend_name,
    plain,
    swept,
)
from xmodbench.report.plots import axis_title
from xmodbench.report.summary import Entry
from xmodbench.report.text import seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go


def tradeoff_plot(report: Report) -> go.Figure:
    """Faithfulness (similarity with the source) against realism (distance between sets): both can be had cheaply alone,
    by copying the source and by showing any real image."""
    import plotly.graph_objects as go

    distance, faithful, figure = distance_of(report), METRICS["standard.ssim_src"], go.Figure()
    methods = list(report.plan.methods)
    for place, group in enumerate(report.groups):
        points = [item for item in group.results if item.complete]
        entries = [report.cell_entries(item.cell, [faithful, distance]) for item in points]
        pairs = [(x, y) for x, y in entries if y.value is not None]
        if not pairs:
            continue
        visible = {"visible": True if place == 0 else "legendonly", "legendgroup": group.key}
        figure.add_traces([line.update(visible) for line in _sweep_lines(report, pairs)])
        colours = [COLOURS[methods.index(x.cell.method) % len(COLOURS)] for x, _ in pairs]
        hollow = [SYMBOLS[place % len(SYMBOLS)] + ("-open" if report.control(x.cell) else "") for x, _ in pairs]
        figure.add_trace(
            go.Scatter(
                x=[x.value for x, _ in pairs],
                y=[y.value for _, y in pairs],
                mode="markers+text",
                text=categories([_tradeoff_label(report, x.cell.method) for x, _ in pairs]),
                textposition="top center",
                textfont_size=11,
                marker={"size": 11, "color": colours, "symbol": hollow, "line": {"width": 1.5}},
                name=legend_name(report, group),
                hovertext=[plain(report.plan.method_label(x.cell.method)) for x, _ in pairs],
                hovertemplate="%{hovertext}<br>SSIM-Src %{x:.3f}<br>distance %{y:.4g}<extra></extra>",
                **visible,
            )
        )
    figure.update_layout(
        **base_layout(height=460),
        xaxis_title="faithfulness: SSIM-Src (standard) →",
        yaxis={"title": f"← realism: {distance.label}", "automargin": True},
    )
    return figure


def cost_plot(report: Report) -> go.Figure | None:
    """Seconds per image against PSNR; None where nobody says how long translations took."""
    import plotly.graph_objects as go

    metric, figure, methods = METRICS["paper.psnr"], go.Figure(), list(report.plan.methods)
    for place, group in enumerate(report.groups):
        done = [item for item in group.results if item.complete and not report.control(item.cell)]
        points = [(item, each) for item in done if (each := seconds_per_image(item))]
        if not points:
            continue
        entries = [report.cell_entries(item.cell, [metric])[0] for item, _ in points]
        figure.add_scatter(
            x=[each for _, each in points],
            y=[entry.value for entry in entries],
            error_y=interval_bars(entries),
            mode="markers+text",
            text=categories([_tradeoff_label(report, item.cell.method) for item, _ in points]),
            textposition="top center",
            textfont_size=11,
            marker={
                "size": 11,
                "color": [COLOURS[methods.index(item.cell.method) % len(COLOURS)] for item, _ in points],
                "symbol": SYMBOLS[place % len(SYMBOLS)],
            },
            name=legend_name(report, group),
            visible=True if not figure.data else "legendonly",
            customdata=[_took(item) for item, _ in points],
            hovertemplate="%{text}<br>%{x:.3g} s per image on %{customdata}<br>PSNR %{y:.2f} dB<extra></extra>",
        )
    if not figure.data:
        return None
    figure.update_layout(
        **base_layout(height=440),
        xaxis={"type": "log", "title": "seconds per image (loading the model included)", "dtick": "D1"},
        yaxis={"title": axis_title(metric), "automargin": True},
    )
    return figure


def _took(item: CellResult) -> str:
    device = str(item.records["translate"].get("device", "cpu"))
    training = item.records.get("train", {}).get("duration_s")
    return plain(device + (f"; training took {seconds(training)}" if isinstance(training, (int, float)) else ""))


def _tradeoff_label(report: Report, method: str) -> str:
    """The method's name; of a sweep, in full at its ends and only the value between them."""
    planned = report.plan.methods[method]
    siblings = [name for name, other in report.plan.methods.items() if other.family == planned.family]
    if len(planned.point) != 1 or method in (siblings[0], siblings[-1]):
        return planned.label
    return shown(*planned.point.values())


def _sweep_lines(report: Report, pairs: list[tuple[Entry, Entry]]) -> list[go.Scatter]:
    """A line through the points of each sweep over numbers."""
    import plotly.graph_objects as go

    lines: dict[str, list[tuple[float, Entry, Entry]]] = {}
    for x, y in pairs:
        planned = report.plan.methods[x.cell.method]
        if place := swept(planned):
            lines.setdefault(planned.family, []).append((place[1], x, y))
    style = {"mode": "lines", "line": {"color": "#7f7f7f", "width": 1.5, "dash": "dot"}}
    return [
        go.Scatter(
            x=[x.value for _, x, _ in sorted(points, key=lambda point: point[0])],
            y=[y.value for _, _, y in sorted(points, key=lambda point: point[0])],
            showlegend=False,
            hoverinfo="skip",
            **style,
        )
        for points in lines.values()
    ]
