"""The metrics' cards in docs/metrics.md."""

from __future__ import annotations

from pathlib import Path

from xmodbench.generate.markers import between
from xmodbench.metrics.field.cards import ALWAYS, EXTRAS
from xmodbench.metrics.registry import METRICS, Metric

BEGIN, END = "<!-- generated: metrics -->", "<!-- end of generated -->"
TITLES = {
    "paper": "The paper's definition",
    "standard": "Standard definition",
    "field": "The field's own numbers, by slice",
    "volume": "The field's own numbers, by volume",
}
LEVELS = {"image": "slice", "volume": "subject's volume", "direction": "direction"}


def metric_files(repository: Path) -> dict[Path, str]:
    """``docs/metrics.md`` (only what is between its two markers)."""
    path = repository / "docs/metrics.md"
    text = path.read_text(encoding="utf-8")
    return {path: between(text, BEGIN, END, cards(), path)}


def cards() -> str:
    """A table for each family, a row for each metric."""
    asked = {metric.id: name for name, metric in EXTRAS.items()}
    every = [*METRICS.values(), *ALWAYS.values(), *EXTRAS.values()]
    parts = []
    for family, title in TITLES.items():
        rows = [_row(metric, asked.get(metric.id)) for metric in every if metric.family == family]
        headings = ["| metric | per | values | definition | rewards wrongly |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"### {title}", "", *headings, *rows, ""]))
    return "\n".join(parts)


def _row(metric: Metric, asked_for: str | None) -> str:
    low, high = ("" if end is None else f"{end:g}" for end in metric.bounds)
    better = "not ranked" if not metric.ranked else f"{'higher' if metric.higher_is_better else 'lower'} is better"
    unit = f" {metric.unit}" if metric.unit else ""
    values = f"{low or '−∞'} to {high or '∞'}{unit}, {better}"
    asked = f" Asked for by `scoring.extra: [{asked_for}]`." if asked_for else ""
    cells = [
        f"{metric.label}, `{metric.id}`",
        LEVELS[metric.level],
        values,
        f"{metric.definition}{asked}",
        metric.misled_by,
    ]
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
