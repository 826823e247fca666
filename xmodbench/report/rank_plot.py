"""How stable the order of methods is: how often each takes which place in resamples of the subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmodbench.report.model import Report
from xmodbench.report.plot_parts import base_layout, categories, legend_name
from xmodbench.report.ranking import MeanRank

if TYPE_CHECKING:
    import plotly.graph_objects as go

# from the best place, dark, to the last: one hue, so that the order is seen with any colour vision and in grey
DARK, LIGHT = (0, 61, 107), (214, 228, 240)
ROW, GAP, AROUND = 24, 56, 110  # pixels of a method's bar, between directions, and of the legend and margins


def rank_plot(report: Report) -> go.Figure | None:
    """Bars of the share of resamples in which a method's mean rank takes each place, a panel for each direction; None where
    no direction has two methods and two subjects."""
    from plotly.subplots import make_subplots

    known = {group.key: _places(report.mean_ranks[group.key]) for group in report.groups}
    groups = [group for group in report.groups if known[group.key]]
    if not groups:
        return None
    heights = [ROW * len(known[group.key]) + GAP for group in groups]
    figure = make_subplots(
        rows=len(groups),
        cols=1,
        shared_xaxes=True,
        row_heights=heights,
        vertical_spacing=min(0.9 / len(groups), 40 / sum(heights)),
        subplot_titles=[legend_name(report, group) for group in groups],
    )
    most = max(len(methods) for methods in known.values())
    named = next(group.key for group in groups if len(known[group.key]) == most)
    for row, group in enumerate(groups, 1):
        methods = known[group.key]
        labels = categories([report.plan.method_label(name) for name in methods])
        bars = [
            _bar(labels, [shares[place] for shares in methods.values()], place, most) for place in range(len(methods))
        ]
        for bar in bars:
            figure.add_trace(bar.update(showlegend=group.key == named), row, 1)
        figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], automargin=True, row=row, col=1)
    figure.update_layout(**base_layout(height=sum(heights) + AROUND), barmode="stack", bargap=0.25)
    figure.update_layout(legend={"traceorder": "normal", "y": -60 / sum(heights)}, margin_b=AROUND - 40)
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    figure.update_xaxes(range=[0, 100], ticksuffix=" %")
    figure.update_xaxes(title="share of resamples", row=len(groups), col=1)
    return figure


def _places(ranks: dict[str, MeanRank]) -> dict[str, tuple[float, ...]]:
    """Shares of places by method, the best mean rank first; none where there are no resamples."""
    return {name: rank.places for name, rank in sorted(ranks.items(), key=lambda item: item[1].value) if rank.places}


def _bar(labels: list[str], shares: list[float], place: int, most: int) -> go.Bar:
    import plotly.graph_objects as go

    return go.Bar(
        x=[100 * share for share in shares],
        y=labels,
        orientation="h",
        marker={"color": _shade(place, most), "line": {"color": "#ffffff", "width": 1}},
        name=f"place {place + 1}",
        legendgroup=str(place),
        hovertemplate=f"%{{y}}: place {place + 1} in %{{x:.0f}} %<extra></extra>",
    )


def _shade(place: int, places: int) -> str:
    share = place / max(1, places - 1)
    return "rgb({}, {}, {})".format(*(round(a + share * (b - a)) for a, b in zip(DARK, LIGHT, strict=True)))
