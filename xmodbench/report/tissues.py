"""Hounsfield units by tissue: what the window cut off, how far translations are off, Bland-Altman plot and histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xmodbench.metrics.field.tissues import TISSUES
from xmodbench.report.checks import answers
from xmodbench.report.collect import CellResult
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import COLOURS, SYMBOLS, base_layout, categories
from xmodbench.report.summary import Group

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHOWN = 3
"""Methods that the plots show at first; others by a click."""
LIMIT = 1.96
CUT = 0.01
"""Share of the body beyond the window from which on it is called narrow."""


@dataclass(frozen=True)
class Tissue:
    """A method's error in one tissue, over the subjects that have it.

    ``means`` are the subjects' (target + translation) / 2, ``differences`` translation - target, both of means, in HU.
    ``mae`` is that of all voxels.
    """

    name: str
    means: np.ndarray
    differences: np.ndarray
    mae: float

    @property
    def bias(self) -> float:
        """Mean difference, each subject counting once."""
        return float(self.differences.mean())

    @property
    def limits(self) -> tuple[float, float] | None:
        """Bland and Altman's limits of agreement: 95 % of subjects' differences, were they normal; None of one subject."""
        if len(self.differences) < 2:
            return None
        half = LIMIT * float(self.differences.std(ddof=1))
        return self.bias - half, self.bias + half


def in_hu(group: Group) -> list[CellResult]:
    """The cells of a group whose errors are known in HU."""
    return [item for item in group.results if item.complete and item.tissues and item.window]


def tissues_of(item: CellResult) -> list[Tissue]:
    """By tissue from air to bone, what is known of a cell (of several seeds, the first)."""
    found = []
    for name in TISSUES:
        of = [subject["tissues"][name] for subject in item.tissues.values() if name in subject["tissues"]]
        if of:
            target, made, voxels, mae = (
                np.array([each[key] for each in of], float) for key in ("target", "translation", "voxels", "mae")
            )
            found.append(Tissue(name, (target + made) / 2, made - target, float(np.average(mae, weights=voxels))))
    return found


def clipping(group: Group) -> str | None:
    """A sentence on what the window leaves out of the test targets; None where they are not in HU."""
    known = in_hu(group)
    if not known:
        return None
    low, high = known[0].window or (0.0, 1.0)
    of = list(known[0].tissues.values())
    voxels = sum(sum(subject["histogram"]["target"]) for subject in of)
    cut = {
        end: sum(subject["clipped"][end] * sum(subject["histogram"]["target"]) for subject in of) / max(1, voxels)
        for end in ("low", "high")
    }
    held = (
        f"Slices hold {low:.0f} to {high:.0f} HU: {cut['low']:.2%} of the target's body pixels lie at the lower end and "
        f"{cut['high']:.2%} at the upper."
    )
    extremes = [subject["extremes"] for subject in of if subject.get("extremes")]
    reach = ""
    if extremes:
        reach = f" The scans reach from {min(e[0] for e in extremes):.0f} to {max(e[1] for e in extremes):.0f} HU."
    lost = [subject["cut_off"] for subject in of if subject.get("cut_off")]
    if lost:
        below, above = (float(np.mean([each[end] for each in lost])) for end in ("low", "high"))
        reach += f" Of their body's voxels {below:.2%} lay below and {above:.2%} above."
        cut = {end: max(cut[end], share) for end, share in (("low", below), ("high", above))}
    minus = str.maketrans("-", "−")
    text = (held + reach).translate(minus) + " What lies beyond counts as the end, in targets and translations alike"
    narrow = max(cut.values()) >= CUT
    return text + (": errors there are underrated; a wider window (`normalise`) would show them." if narrow else ".")


def tissue_rows(report: Report, group: Group) -> list[tuple[str, list[tuple[Tissue, str]]]]:
    """A row for each method: its label and, by tissue, the numbers with ``bias [lower, upper limit]`` in words."""
    return [
        (report.plan.method_label(item.cell.method), [(tissue, _agreement(tissue)) for tissue in tissues_of(item)])
        for item in in_hu(group)
    ]


def _agreement(tissue: Tissue) -> str:
    shown = [tissue.bias, *(tissue.limits or ())]
    # no sign before what rounds to nothing
    bias, *limits = [f"{value:+.0f}".replace("-", "−") if abs(value) >= 0.5 else "0" for value in shown]
    return f"{bias} [{limits[0]}, {limits[1]}]" if limits else bias


def agreement_plot(report: Report, group: Group) -> go.Figure:
    """Bland and Altman's: a point for each subject and tissue, and bias with limits of agreement by method and tissue."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, item in enumerate(_drawn(report, group)):
        look = _look(report, item, place)
        for number, tissue in enumerate(tissues_of(item)):
            marker = {"symbol": SYMBOLS[number], "color": look["line"]["color"], "size": 7, "opacity": 0.75}
            figure.add_scatter(
                x=tissue.means,
                y=tissue.differences,
                mode="markers",
                marker=marker,
                hovertemplate=f"{look['name']}, {tissue.name}<br>mean %{{x:.0f}} HU, off by %{{y:+.0f}} HU<extra></extra>",
                **{key: look[key] for key in ("name", "legendgroup", "visible")},
                showlegend=number == 0,
            )
            half = (tissue.limits[1] - tissue.bias) if tissue.limits else 0
            figure.add_scatter(
                x=[float(tissue.means.mean())],
                y=[tissue.bias],
                error_y={"type": "data", "array": [half], "color": look["line"]["color"], "thickness": 1.5, "width": 8},
                mode="markers",
                marker={"symbol": "line-ew-open", "size": 16, "color": look["line"]["color"], "line": {"width": 2}},
                hovertemplate=f"{look['name']}, {tissue.name}: {_agreement(tissue)} HU<extra></extra>",
                legendgroup=look["legendgroup"],
                visible=look["visible"],
                showlegend=False,
            )
    figure.add_hline(y=0, line={"color": "#7f7f7f", "width": 1, "dash": "dot"})
    figure.update_layout(
        **base_layout(height=460),
        xaxis_title="mean of target and translation, HU",
        yaxis={"title": "translation − target, HU", "automargin": True},
    )
    return figure


def histogram_plot(report: Report, group: Group) -> go.Figure:
    """Shares of the body's pixels by HU: the target's and each method's."""
    import plotly.graph_objects as go

    figure, known = go.Figure(), in_hu(group)
    low, high = known[0].window or (0.0, 1.0)
    curves: list[tuple[np.ndarray, dict[str, Any]]] = [
        (_counts(known[0], "target"), {"name": "target", "line": {"color": "#000000", "width": 2.5, "shape": "hvh"}})
    ]
    curves += [(_counts(item, "translation"), _look(report, item, n)) for n, item in enumerate(_drawn(report, group))]
    for counts, look in curves:
        centres = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
        # a bin without a pixel has no place on a logarithmic axis
        share = [float(f"{value:.3g}") if value else None for value in counts / counts.sum()]
        figure.add_scatter(
            x=centres,
            y=share,
            mode="lines",
            hovertemplate="%{x:.0f} HU: %{y:.2%}<extra>%{fullData.name}</extra>",
            **look,
        )
    figure.update_layout(
        **base_layout(height=420),
        xaxis_title="HU",
        yaxis={"title": "share of the body's pixels", "type": "log", "tickformat": ".2~%", "automargin": True},
    )
    return figure


def _drawn(report: Report, group: Group) -> list[CellResult]:
    """Methods before controls, without the control that answers with the target."""
    found = [item for item in in_hu(group) if answers(report.plan, item.cell.method) != "target"]
    return sorted(found, key=lambda item: report.control(item.cell))


def _counts(item: CellResult, name: str) -> np.ndarray:
    return np.sum([subject["histogram"][name] for subject in item.tissues.values()], axis=0)


def _look(report: Report, item: CellResult, place: int) -> dict[str, Any]:
    (label,) = categories([report.plan.method_label(item.cell.method)])
    visible = True if place < SHOWN and not report.control(item.cell) else "legendonly"
    return {
        "name": label,
        "legendgroup": item.cell.method,
        "visible": visible,
        "line": {"color": COLOURS[place % len(COLOURS)], "width": 1.5, "shape": "hvh"},
    }
