"""What the run that trained a model says of it: its scores, and how it translated with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.methods import read_replicate
from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import locate
from xmodbench.records import read_record

SHOWN = (
    *("run", "dataset", "simulated", "source", "target", "method", "metric", "definition", "unit", "higher_is_better"),
    *("mean", "ci_low", "ci_high", "real_to_real", "n_images", "n_subjects", "protocol"),
)


def found_in_run(model: Path, record: dict[str, Any]) -> dict[str, Any]:
    """``scores`` from the run's table, and the ``translation_settings`` that all of the plugin's translations shared.

    Only what was made with this very model counts, by its hash; nothing where the folder lies in no run.
    """
    run, sha256 = _run_of(model), record["outputs_sha256"]
    if run is None:
        return {"scores": [], "translation_settings": {}}
    return {"scores": list(_scores(run, sha256)), "translation_settings": _translation_settings(run, record)}


def _run_of(model: Path) -> Path | None:
    """The results folder of ``<run>/models/<training>/<dataset>/<model>``."""
    above = model.resolve().parents
    return above[3] if len(above) > 3 and above[2].name == "models" else None


def _scores(run: Path, sha256: str) -> Iterator[dict[str, Any]]:
    with suppress(UserError, KeyError, TypeError, AttributeError):
        table = read_json(run / "table.json")
        made_by = {cell: records.get("translate", {}) for cell, records in table["provenance"].items()}
        rows = [row for row in table["rows"] if row["status"] == "complete" and row["mean"] is not None]
        copies = {_place(row): row["mean"] for row in rows if any(map(_copies, _made(row, made_by, "plugin")))}
        # with several seeds a row is the mean over their models
        found = [row for row in rows if _made(row, made_by, "model_sha256") == [sha256]]
        yield from [{**{key: row[key] for key in SHOWN}, "copying": copies.get(_place(row))} for row in found]


def _made(row: dict[str, Any], made_by: dict[str, dict[str, Any]], key: str) -> list[Any]:
    """What the records of the translations behind a row say, seed by seed."""
    end = f".{row['dataset']}.{row['source']}-to-{row['target']}"
    found = [(name.removesuffix(end), made) for name, made in made_by.items() if name.endswith(end)]
    return [made.get(key) for name, made in found if read_replicate(name)[0] == row["method"]]


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return row["dataset"], row["source"], row["target"], row["metric"]


def _copies(plugin_id: str | None) -> bool:
    """Whether a plugin answers with the source: what a translation has to be better than."""
    try:
        return plugin_id is not None and locate(METHODS, plugin_id).meta().get("answers") == "source"
    except UserError:
        return False


def _translation_settings(run: Path, record: dict[str, Any]) -> dict[str, Any]:
    found = []
    for path in sorted((run / "translations").glob("*/*/*/record.json")):
        with suppress(UserError):
            made = read_record(path.parent)
            if (made.get("plugin"), made.get("model_sha256")) == (record["plugin"], record["outputs_sha256"]):
                now, then = made.get("settings", {}), record.get("settings", {})
                found.append({name: value for name, value in now.items() if then.get(name) != value})
    return found[0] if found and all(one == found[0] for one in found) else {}
