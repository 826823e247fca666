"""What the page's plots share: colours, names and intervals."""

from __future__ import annotations

from typing import Any

from xmodbench.metrics.registry import METRICS, Metric
from xmodbench.plan.methods import PlannedMethod
from xmodbench.report.model import Report
from xmodbench.report.summary import Entry, Group
from xmodbench.report.text import group_title

# Okabe & Ito (2008), distinguishable with any colour vision; the symbols differ as well
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagon")


def swept(method: PlannedMethod) -> tuple[str, float] | None:
    """The option and its value, where the method is a point of a sweep over one number."""
    for option, value in method.point.items() if len(method.point) == 1 else ():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return option, value
    return None


def distance_of(report: Report) -> Metric:
    """The distance between sets of images: FID where it could be computed, else that of features without weights."""
    return METRICS["paper.fid" if known_values(report, METRICS["paper.fid"]) else "standard.frechet_hog"]


def known_values(report: Report, metric: Metric) -> list[float]:
    """All values of a metric in the report."""
    return [
        entry.value
        for entries in report.entries.values()
        for entry in entries
        if entry.metric is metric and entry.value is not None
    ]


def legend_name(report: Report, group: Group) -> str:
    """Data set and direction; of simulated data it says so."""
    title = plain(group_title(report.plan, group))
    return f"{title} (simulated)" if report.plan.simulated(group.dataset) and "simulated" not in title else title


def categories(labels: list[str]) -> list[str]:
    """Labels as axis categories: short enough for a narrow screen; the end is kept, where points of a sweep differ."""
    return [plain(label if len(label) <= 34 else f"{label[:16]}…{label[-17:]}") for label in labels]


def plain(text: str) -> str:
    """Text that plotly's small HTML shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def interval_bars(entries: list[Entry]) -> dict[str, Any] | None:
    """Error bars of the entries that have intervals; None where none has."""
    known = [_up_and_down(entry) for entry in entries]
    if not any(known):
        return None
    return {
        "type": "data",
        "array": [pair and pair[0] for pair in known],
        "arrayminus": [pair and pair[1] for pair in known],
        "thickness": 1.2,
        "width": 4,
    }


def _up_and_down(entry: Entry) -> tuple[float, float] | None:
    if entry.value is None or entry.low is None or entry.high is None:
        return None
    return entry.high - entry.value, entry.value - entry.low


def base_layout(height: int) -> dict[str, Any]:
    """What all plots look like."""
    return {
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 40, "b": 8},
        "font": {"size": 13},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.18},
        "dragmode": "zoom",
    }
