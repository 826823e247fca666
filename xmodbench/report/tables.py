"""The table of a run as CSV (long), JSON and Markdown."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from xmodbench.errors import plain
from xmodbench.files import atomic_file, write_json, write_text
from xmodbench.metrics.registry import METRICS, PROTOCOL, Metric, family
from xmodbench.report.fairness import NO_WALL, isolation
from xmodbench.report.imported import imported_notes
from xmodbench.report.model import Report
from xmodbench.report.summary import Entry, Group
from xmodbench.report.text import NONE, SIMULATED, footnotes, group_title, heading, subjects_note, with_interval

FAMILIES = {"paper": "The paper's definition", "standard": "Standard definition"}


def long_table(report: Report) -> pd.DataFrame:
    """A row for each cell and metric, the published value in a column of its own."""
    return pd.DataFrame([_row(report, entry) for group in report.groups for entry in report.entries[group.key]])


def _row(report: Report, entry: Entry) -> dict[str, Any]:
    plan, item, metric = report.plan, entry.result, entry.metric
    return {
        "run": plan.config.run,
        "dataset": item.cell.dataset,
        "simulated": plan.simulated(item.cell.dataset),
        "source": item.cell.source,
        "target": item.cell.target,
        "method": item.cell.method,
        "label": plan.method_label(item.cell.method),
        "supervision": str(plan.supervision(item.cell.method)),
        "definition": metric.family,
        "metric": metric.id,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "status": item.status,
        "mean": entry.value,
        "ci_low": entry.low,
        "ci_high": entry.high,
        "floor": entry.floor,
        "n_images": item.counts.get("images"),
        "n_subjects": item.counts.get("subjects"),
        "rank": entry.rank,
        "rank_low": entry.rank_low,
        "rank_high": entry.rank_high,
        "best": entry.best,
        "published": entry.published,
        "reason": entry.reason,
        "defined_as": metric.definition,
        "protocol": PROTOCOL,
    }


def write_csv(report: Report, path: Path) -> None:
    """``table.csv``: the long table."""
    table = long_table(report).astype({"n_images": "Int64", "n_subjects": "Int64"})
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def write_table_json(report: Report, path: Path) -> None:
    """``table.json``: the long table with everything else the page shows."""
    rows = [_row(report, entry) for group in report.groups for entry in report.entries[group.key]]
    checks = [
        {
            "dataset": check.group.dataset,
            "source": check.group.source,
            "target": check.group.target,
            **{key: value for key, value in vars(check).items() if key != "group"},
        }
        for check in report.checks
    ]
    value = {
        "run": report.plan.config.run,
        "title": report.title,
        "seed": report.plan.config.seed,
        "protocol": PROTOCOL,
        "cells": len(report.results),
        "complete": report.complete,
        "simulated": report.simulated,
        "banner": SIMULATED if report.simulated else None,
        "metrics": {name: asdict(metric) for name, metric in METRICS.items()},
        "rows": rows,
        "comparisons": report.comparisons,
        "checks": checks,
        "isolation": {item.cell.name: isolation(item) for item in report.results},
        "provenance": {item.cell.name: item.records for item in report.results},
    }
    write_json(path, value)


# -- Markdown -------------------------------------------------------------------------------------------------------------
def write_markdown(report: Report, path: Path) -> None:
    """``table.md``: for people, a section for each data set and direction."""
    parts = [f"# {_plain(report.title)}"]
    if report.complete < len(report.results):
        parts.append(f"> **Incomplete: {report.complete} of {len(report.results)} cells have scores.**")
    if report.not_walled:
        parts.append(f"> **{NO_WALL}** ({', '.join(map(_plain, report.not_walled))})")
    parts += [f"> {_plain(note)}" for note in imported_notes(report)]
    parts += [_group_section(report, group) for group in report.groups]
    parts.append(f"## How the numbers are defined\n\nProtocol {PROTOCOL}: tables of other protocols do not compare.")
    parts += [f"- **{name}** ({_plain(heading(metric))}): {metric.definition}" for name, metric in METRICS.items()]
    write_text(path, "\n\n".join(parts) + "\n")


def _group_section(report: Report, group: Group) -> str:
    parts = [f"## {_plain(group_title(report.plan, group))}", subjects_note(group).capitalize() + "."]
    if report.plan.simulated(group.dataset):
        parts.insert(1, f"> **{SIMULATED}**")
    if named := report.mispaired(group):
        parts.append(
            "> **Doubtful pairs: source and target may not belong together.** " + ". ".join(map(_plain, named))
        )
    for name, title in FAMILIES.items():
        parts += [f"### {title}", _family_table(report, group, family(name)), *_footnotes(report, group, name)]
    if rows := published_rows(report, group):
        parts += ["### Published", _markdown(PUBLISHED_HEADINGS, rows)]
    return "\n\n".join(parts)


def _family_table(report: Report, group: Group, metrics: list[Metric]) -> str:
    rows: list[list[str]] = []
    controls: list[list[str]] = []
    for item in group.results:
        label = _plain(report.plan.method_label(item.cell.method))
        if item.complete:
            cells = [_best(entry) for entry in report.cell_entries(item.cell, metrics)]
        else:
            cells = [f"{item.status}: {_plain(item.reason)}" if item.status == "failed" else item.status]
            cells += [""] * (len(metrics) - 1)
        (controls if report.control(item.cell) else rows).append([label, *cells])
    if controls:
        controls.insert(0, ["*Controls*", *[""] * len(metrics)])
    return _markdown(["Method", *(heading(metric) for metric in metrics)], rows + controls)


def _best(entry: Entry) -> str:
    return f"**{with_interval(entry)}**" if entry.best else with_interval(entry)


def _footnotes(report: Report, group: Group, name: str) -> list[str]:
    notes = footnotes(report.entries[group.key], name)
    return ["; ".join(map(_plain, notes)) + "."] if notes else []


PUBLISHED_HEADINGS = ["Method", "Metric", "Ours [95 % interval]", "Published", "Published within our interval"]


def published_rows(report: Report, group: Group) -> list[list[str]]:
    """The paper's numbers beside ours, a row for each method and metric the paper has."""
    rows = []
    for entry in report.entries[group.key]:
        if entry.published is None:
            continue
        ours = with_interval(entry) if entry.result.complete else entry.result.status
        within = NONE
        if entry.low is not None and entry.high is not None:
            within = "yes" if entry.low <= entry.published <= entry.high else "no"
        label = _plain(report.plan.method_label(entry.cell.method))
        rows.append([label, heading(entry.metric), ours, f"{entry.published:g}", within])
    return rows


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str | None) -> str:
    """Text that Markdown renders as it is, on one line."""
    text = plain(text or "")
    for mark in "\\`*_[]|~#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
