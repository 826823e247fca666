"""Which test slices the viewer has, and what it shows of them beside their pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmodbench.metrics.registry import Metric
from xmodbench.report.checks import answers
from xmodbench.report.collect import CellResult
from xmodbench.report.model import Report
from xmodbench.report.plot_parts import categories
from xmodbench.report.summary import Group
from xmodbench.report.text import group_title

MOST_POINTS = 400
"""Slices per direction whose scores are points of the plots; a page with all of some thousands would be slow."""


@dataclass(frozen=True)
class Cases:
    """The slices of a direction: rows of the test store in its order.

    ``pictured`` are those whose pictures are kept, ``points`` those whose scores are drawn (all that are pictured among
    them), both ascending; ``keys`` the few to keep small pictures of within the page.
    """

    pictured: list[int]
    points: list[int]
    keys: list[int]


def choose_cases(report: Report, group: Group, most: int, key_cases: int) -> Cases:
    """By rule, not by eye: the worst, the median and the best slice of every method in every ranked metric, metric by
    metric until there are `most`; where that is all, slices spread evenly over the test set besides."""
    done = [item for item in group.results if item.whole]
    if not done:
        return Cases([], [], [])
    count, found = len(done[0].image_scores), []
    methods = [item for item in done if not report.control(item.cell)] or done
    for metric in sorted(
        filter(lambda metric: metric.ranked, _shown_of(report, done)), key=lambda metric: "psnr" not in metric.id
    ):
        for item in methods:
            order = from_worst(item, metric)
            found += [order[0], order[len(order) // 2], order[-1]]
    extremes = list(dict.fromkeys(found))[:most]
    pictured = _filled(extremes, count, most)
    return Cases(pictured, _filled(pictured, count, max(most, MOST_POINTS)), sorted(extremes[:key_cases]))


def from_worst(item: CellResult, metric: Metric) -> list[int]:
    """Rows of a cell's scores from the worst to the best in one metric; of equals, the first in the store first."""
    values = item.image_scores[metric.id].to_numpy(float)
    order = np.argsort(values if metric.higher_is_better else -values, kind="stable")
    return [int(row) for row in order]


def _filled(chosen: list[int], count: int, most: int) -> list[int]:
    """`chosen` and, while there is room, others of ``range(count)`` spread evenly; ascending."""
    taken = set(chosen)
    others = [row for row in range(count) if row not in taken]
    room = min(max(0, most - len(taken)), len(others))
    places: Iterable[int] = np.linspace(0, len(others) - 1, room).round().astype(int) if room else []
    return sorted(taken | {others[place] for place in places})


def shown_methods(report: Report, group: Group) -> list[CellResult]:
    """Cells with scores, without the controls that answer with the source or the target: those are there anyway."""
    found = [item for item in group.results if item.whole]
    return [item for item in found if answers(report.plan, item.cell.method) not in ("source", "target")]


def described(report: Report, group: Group, cases: Cases) -> dict[str, Any]:
    """What the viewer's script needs to know of a direction, pictures aside; numbers have four digits."""
    methods = [item for item in group.results if item.whole]
    frame = methods[0].image_scores.iloc[cases.points]
    names = [metric.id for metric in _shown_of(report, methods)]
    means = {item.cell.method: item.subject_means(names) for item in methods}
    subjects = [str(name) for name in next(iter(means.values())).index]
    return {
        "key": group.key,
        "title": group_title(report.plan, group),
        "simulated": report.plan.simulated(group.dataset),
        "all": len(methods[0].image_scores),
        "ids": frame["id"].tolist(),
        "subjects": subjects,
        "subject": [subjects.index(name) for name in frame["subject"]],
        "scores": {item.cell.method: _columns(item.image_scores.iloc[cases.points], names) for item in methods},
        "means": {name: _columns(table, names) for name, table in means.items()},
        "methods": [
            {
                "id": item.cell.method,
                "label": report.plan.method_label(item.cell.method),
                "short": categories([report.plan.method_label(item.cell.method)])[0],
                "control": report.control(item.cell),
                "perfect": answers(report.plan, item.cell.method) == "target",
            }
            for item in methods
        ],
    }


def metrics_shown(report: Report) -> list[dict[str, Any]]:
    """The metrics of the viewer's menu."""
    return [
        {
            "id": metric.id,
            "label": f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}, {metric.family}",
            "sign": 1 if metric.higher_is_better else -1,
            "ranked": metric.ranked,
            "digits": metric.digits,
        }
        for metric in _shown(report)
    ]


def _shown(report: Report) -> list[Metric]:
    return [metric for metric in report.metrics.values() if metric.level == "image" and metric.headline]


def _shown_of(report: Report, methods: list[CellResult]) -> list[Metric]:
    """Those that all of a direction's methods have."""
    return [metric for metric in _shown(report) if all(metric.id in item.image_scores for item in methods)]


def _columns(table, names: list[str]) -> dict[str, list[float]]:
    return {name: [float(f"{value:.5g}") for value in table[name]] for name in names}
