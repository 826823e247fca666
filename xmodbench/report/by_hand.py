"""Predictions that were scored into a run by hand (`xmodbench score --predictions`), which its config does not name."""

from __future__ import annotations

from contextlib import suppress

from xmodbench.errors import UserError
from xmodbench.plan.config import PredictionsEntry
from xmodbench.plan.plan import Plan
from xmodbench.plugins.settings import validated
from xmodbench.records import RECORD, read_record


def with_made_by_hand(plan: Plan) -> Plan:
    """The plan with a row for each of these predictions; itself where there are none.

    Those whose data set or direction the run no longer has, or whose id a method has taken since, are passed over.
    """
    found = entries_by_hand(plan)
    if not found:
        return plan
    predictions = [*plan.config.predictions, *found]
    return Plan(plan.config.model_copy(update={"predictions": predictions}), plan.where)


def entries_by_hand(plan: Plan) -> list[PredictionsEntry]:
    """What the config would say of them."""
    known: dict[str, tuple[str, str]] = {}
    fitting = [entry for entry in _entries(plan) if _fits(plan, entry)]
    return [entry for entry in fitting if known.setdefault(entry.id, _words(entry)) == _words(entry)]


def _words(entry: PredictionsEntry) -> tuple[str, str]:
    return entry.supervision, entry.label


def _entries(plan: Plan) -> list[PredictionsEntry]:
    entries = []
    for path in sorted((plan.results / "translations").glob(f"*/*/*/{RECORD}")):
        with suppress(UserError):  # not finished, or none
            record = read_record(path.parent)
            if record.get("by_hand") is True and isinstance(record.get("entry"), dict):
                entries.append(validated(PredictionsEntry, record["entry"], str(path)))
    return entries


def _fits(plan: Plan, entry: PredictionsEntry) -> bool:
    method = plan.methods.get(entry.id)
    return entry.pair in plan.directions.get(entry.dataset, ()) and (
        method is None
        or (
            bool(method.made_elsewhere)
            and (entry.dataset, *entry.pair) not in method.made_elsewhere
            and (method.supervision, method.label) == (entry.supervision, entry.label)
        )
    )
