"""What there is to say of models that were not trained in this run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from xmodbench.errors import UserError
from xmodbench.plan.plan import Plan
from xmodbench.report.model import Report
from xmodbench.store import SliceStore


def imported_notes(report: Report) -> list[str]:
    """A sentence or two for each method and data set with imported models, in the plan's order.

    A model that was trained on another preparation of the data may have seen the subjects it is tested on.
    """
    notes: dict[str, None] = {}
    for item in report.results:
        record = item.records.get("train", {})
        if (imported := record.get("imported")) is None:
            continue
        label, dataset = report.plan.method_label(item.cell.method), item.cell.dataset
        file = f"{imported.get('file')}, SHA-256 {str(imported.get('sha256'))[:12]}…"
        if _trained_here(report.plan, dataset, record):
            note = (
                f"{label} translates with a model that was imported ({file}) and trained on the same training slices."
            )
        else:
            data = (record.get("prepared") or {}).get("dataset") or "unknown data"
            trained = f"{file}; on {record.get('n_train')} slices of {data}"
            note = (
                f"{label} translates with a model that was trained elsewhere ({trained}). "
                f"Nothing here shows that it has not seen the test subjects of {report.plan.dataset_label(dataset)}."
            )
        if imported.get("other_code"):
            note += " Its plugin has other code here than where it was trained."
        notes[note] = None
    return list(notes)


def _trained_here(plan: Plan, dataset: str, record: dict[str, Any]) -> bool:
    with suppress(UserError):
        store = SliceStore(plan.data_dir(dataset) / "train")
        return bool((record.get("prepared") or {}).get("sha256") == store.preparation_sha256)
    return False
