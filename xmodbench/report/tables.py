"""The table of a run as CSV (long) and JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from xmodbench.files import atomic_file, write_json
from xmodbench.metrics.registry import PROTOCOL
from xmodbench.report.fairness import isolation
from xmodbench.report.model import Report
from xmodbench.report.published import CODES, Beside
from xmodbench.report.summary import Entry
from xmodbench.report.text import SIMULATED


def long_table(report: Report) -> pd.DataFrame:
    """A row for each cell and metric, the published value in a column of its own."""
    return pd.DataFrame(_rows(report))


def _rows(report: Report) -> list[dict[str, Any]]:
    beside = {id(row.entry): row for rows in report.beside.values() for row in rows}
    entries = [entry for group in report.groups for entry in report.entries[group.key]]
    return [_row(report, entry, beside.get(id(entry))) for entry in entries]


def _row(report: Report, entry: Entry, row: Beside | None) -> dict[str, Any]:
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
        "made_elsewhere": plan.predictions(item.cell) is not None,
        "definition": metric.family,
        "metric": metric.id,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "status": item.status,
        "mean": entry.value,
        "ci_low": entry.low,
        "ci_high": entry.high,
        "ci_subjects_low": entry.subject_low,
        "ci_subjects_high": entry.subject_high,
        "sd_seeds": entry.seed_sd,
        "n_seeds": len(entry.seeds) or None,
        "real_to_real": entry.real_to_real,
        "n_images": item.counts.get("images"),
        "n_subjects": item.counts.get("subjects"),
        "rank": entry.rank,
        "rank_low": entry.rank_low,
        "rank_high": entry.rank_high,
        "best": entry.best,
        "published": None if entry.published is None else float(entry.published),
        "published_difference": row and row.difference,
        "published_low": row and row.low,
        "published_high": row and row.high,
        "published_unlike": " ".join(row.reasons) if row else None,
        "reason": "; ".join(filter(None, (item.partial, entry.reason or item.reason))) or None,
        "defined_as": metric.definition,
        "protocol": PROTOCOL,
    }


def write_csv(report: Report, path: Path) -> None:
    """``table.csv``: the long table."""
    table = long_table(report).astype(dict.fromkeys(("n_images", "n_subjects", "n_seeds"), "Int64"))
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def write_table_json(report: Report, path: Path) -> None:
    """``table.json``: the long table with everything else the page shows."""
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
        "seeds": report.plan.all_seeds,
        "protocol": PROTOCOL,
        "cells": len(report.runs),
        "complete": report.complete,
        "simulated": report.simulated,
        "banner": SIMULATED if report.simulated else None,
        "merged_from": list(report.merged_from),
        "left_out": list(report.left_out),
        "metrics": {name: asdict(metric) for name, metric in report.metrics.items()},
        "rows": _rows(report),
        "comparisons": report.comparisons,
        "mean_ranks": {
            key: {name: asdict(rank) for name, rank in found.items()} for key, found in report.mean_ranks.items()
        },
        "published": [row.as_dict() for rows in report.beside.values() for row in rows],
        "published_unlike": CODES,
        "checks": checks,
        "isolation": {item.cell.name: isolation(item) for item in report.runs},
        "provenance": {item.cell.name: item.records for item in report.runs},
    }
    write_json(path, value)
