"""The interactive plots of the page, as plotly figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from xmodbench.metrics.registry import Metric
from xmodbench.report.checks import answers
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import (
    COLOURS,
    SYMBOLS,
    base_layout,
    categories,
    interval_bars,
    known_values,
    legend_name,
    plain,
)
from xmodbench.report.summary import Group
from xmodbench.report.text import heading, with_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def dot_plot(report: Report) -> tuple[go.Figure, list[dict[str, Any]]]:
    """Means with their intervals, a row for each method and a symbol for each direction, for one metric at a time.

    Returns:
        The figure, and for each metric what the page's menu needs to show it: ``label``, ``chosen``, the traces'
        ``visible``, and the axis' ``title`` and ``range``.
    """
    import plotly.graph_objects as go

    figure, metrics = (
        go.Figure(),
        [metric for metric in report.metrics.values() if known_values(report, metric)],
    )
    first = next((metric for metric in metrics if metric.id == "paper.psnr"), metrics[0] if metrics else None)
    choices, several = [], any(item.replicates for item in report.results)
    for metric in metrics:
        traces = [_dots(report, group, metric, place) for place, group in enumerate(report.groups)]
        traces += [_seeds(report, group, metric, place) for place, group in enumerate(report.groups)] if several else []
        figure.add_traces([trace.update(visible=metric is first) for trace in traces])
        choices.append(
            {
                "label": f"{heading(metric)}, {metric.family}",
                "chosen": metric is first,
                "visible": [other is metric for other in metrics for _ in traces],
                "title": axis_title(metric),
                "range": _axis_range(traces),
            }
        )
    shown = next((choice for choice in choices if choice["chosen"]), {"title": "no scores yet", "range": None})
    methods = [name for name in report.plan.methods if answers(report.plan, name) != "target"]
    rows = categories([report.plan.method_label(name) for name in methods])
    figure.update_layout(
        **base_layout(height=150 + (22 + 9 * len(report.groups)) * len(rows) + 24 * len(report.groups)),
        scattermode="group",
        scattergap=0.3,
        xaxis={"title": shown["title"], "range": shown["range"]},
        yaxis={"categoryorder": "array", "categoryarray": rows[::-1], "automargin": True, "title": None},
    )
    return figure, choices


def way_plot(report: Report) -> go.Figure | None:
    """Errors of images on the way (of an inversion, say) by step, to the target and to the source; None without any."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, item in enumerate(item for item in report.results if item.complete and item.intermediates):
        group = next(group for group in report.groups if item in group.results)
        label = f"{report.plan.method_label(item.cell.method)}, {legend_name(report, group)}"
        steps = {int(name[6:]): errors for name, errors in item.intermediates.items() if name.startswith("after_")}
        if not steps:
            continue
        for to, dash in (("target", "solid"), ("source", "dot")):
            figure.add_trace(
                go.Scatter(
                    x=[str(step) for step in sorted(steps)],
                    y=[steps[step][f"mse_{to}"] for step in sorted(steps)],
                    mode="lines+markers",
                    line={"dash": dash, "color": COLOURS[place % len(COLOURS)]},
                    name=plain(f"{label}: to the {to}"),
                )
            )
    if not figure.data:
        return None
    figure.update_layout(**base_layout(height=420), xaxis_title="step", yaxis_title="mean squared error of intensities")
    return figure


def to_html(figure: go.Figure, name: str) -> str:
    """A ``<div>`` and what the page's script draws into it, without plotly's own code; `name` becomes the element's id."""
    described = Markup(htmlsafe_json_dumps(json.loads(figure.to_json()) | {"config": CONFIG}))
    height = figure.layout.height
    return Markup(
        '<div id="{name}" style="min-height: {height}px"></div>\n'
        '<script type="application/json" data-plot="{name}">{described}</script>'
    ).format(name=name, height=height or 400, described=described)


def _dots(report: Report, group: Group, metric: Metric, place: int) -> go.Scatter:
    import plotly.graph_objects as go

    # the control that answers with the target is the end of every scale and would squeeze the rest
    shown = [item for item in group.results if item.complete and answers(report.plan, item.cell.method) != "target"]
    found = [report.cell_entries(item.cell, [metric])[0] for item in shown]
    entries = [entry for entry in found if entry.value is not None]
    labels = [report.plan.method_label(entry.cell.method) for entry in entries]
    return go.Scatter(
        x=[entry.value for entry in entries],
        y=categories(labels),
        error_x=interval_bars(entries),
        mode="markers",
        orientation="h",
        offsetgroup=group.key,
        legendgroup=group.key,
        marker={"size": 9, "color": COLOURS[place % len(COLOURS)], "symbol": SYMBOLS[place % len(SYMBOLS)]},
        name=legend_name(report, group),
        customdata=[with_interval(entry) for entry in entries],
        hovertext=[plain(label) for label in labels],
        hovertemplate="%{hovertext}<br>%{customdata}<extra></extra>",
    )


def _seeds(report: Report, group: Group, metric: Metric, place: int) -> go.Scatter:
    """A tick for the value of each seed, where a method has several."""
    import plotly.graph_objects as go

    found = [report.cell_entries(item.cell, [metric])[0] for item in group.results if len(item.runs) > 1]
    labels = categories([report.plan.method_label(entry.cell.method) for entry in found])
    return go.Scatter(
        x=[value for entry in found for value in entry.seeds],
        y=[label for label, entry in zip(labels, found, strict=True) for _ in entry.seeds],
        mode="markers",
        orientation="h",
        offsetgroup=group.key,
        legendgroup=group.key,
        showlegend=False,
        marker={"size": 13, "symbol": "line-ns-open", "color": COLOURS[place % len(COLOURS)], "line": {"width": 1.5}},
        hovertemplate="one seed: %{x:.5g}<extra></extra>",
    )


def _axis_range(traces: list[go.Scatter]) -> list[float]:
    """From the lowest to the highest end of the intervals, with a margin."""
    ends = [value for trace in traces for value in trace.x]
    for trace in traces:
        bars = trace.error_x
        up, down = (() if sides is None else sides for sides in (bars.array, bars.arrayminus))
        ends += [x + side for x, side in zip(trace.x, up, strict=False) if side is not None]
        ends += [x - side for x, side in zip(trace.x, down, strict=False) if side is not None]
    margin = 0.06 * (max(ends) - min(ends)) or 0.5
    return [min(ends) - margin, max(ends) + margin]


def axis_title(metric: Metric) -> str:
    """What an axis of a metric is called, with its unit and where better is."""
    better = "" if not metric.ranked else f" ({'higher' if metric.higher_is_better else 'lower'} is better)"
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.label}{unit}{better}"
