"""The card of a model that travels: what it is, what it was made of and how well it did, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xmodbench.data.exported import FORMAT_VERSION, KIND
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError, amount
from xmodbench.files import sha256_json
from xmodbench.plugins import DATASETS, METHODS, Kind
from xmodbench.plugins.discovery import locate
from xmodbench.plugins.shape import Shape

TRAINING = (
    *("device", "threads", "processes", "precision", "tf32", "started", "duration_s", "training_s", "isolation"),
    *("source_slices", "slices_per_step", "final_loss", "parameters", "peak_memory_mb"),
)
"""What the card repeats of the training's record, where it is there."""
USE = (
    "Research on the translation of medical images between modalities: {task}, on slices that are prepared as those it was "
    "trained on. Not for diagnosis, not for treatment, and not for decisions about a patient."
)


def card(record: dict[str, Any], files: dict[str, dict[str, Any]], found: dict[str, Any], licence: str | None) -> dict:
    """The card as JSON has it, not yet sealed.

    Args:
        record: of the training, as it travels.
        files: bytes and sha256 of each file, by name.
        found: ``scores`` and ``translation_settings`` of its run (`xmodbench.stages.model_scores`).
        licence: of the data, where somebody says; the data set's plugin is asked otherwise.
    """
    method, data = _yaml(METHODS, record["plugin"]), _data(record, licence)
    if data["simulated"] is None:  # records of old do not say
        data["simulated"] = next((row["simulated"] for row in found["scores"]), None)
    return {
        "kind": KIND,
        "format": FORMAT_VERSION,
        "name": record["name"],
        "plugin": {
            "id": record["plugin"],
            "code_sha256": record["code_sha256"],
            **{key: method[key] for key in ("label", "summary", "reference") if method.get(key)},
        },
        **{key: record.get(key) for key in ("target", "source", "supervision", "shape", "seed", "settings")},
        **({"handed": record["handed"]} if "handed" in record else {}),
        "sha256": record["outputs_sha256"],
        "files": files,
        "data": data,
        "training": {key: record[key] for key in TRAINING if key in record},
        **found,
        "intended_use": USE.format(task=task(record)),
        "limits": list(_limits(record, data, found["scores"])),
        "versions": record.get("versions", {}),
    }


def sealed(made: dict[str, Any], name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The card with its own text among the files, and a hash over all of it."""
    whole = {**made, "files": {**made["files"], name: facts}}
    return {**whole, "card_sha256": sha256_json(whole)}


def task(record: dict[str, Any]) -> str:
    """From what to what it translates."""
    source, target = record.get("source"), record["target"].upper()
    if source:
        return f"{' and '.join(name.upper() for name in modalities_of(source))} to {target}"
    shape = handed(record)
    return f"any source to {target}" if shape.sources == (1, 1) else f"any {shape.counted()} to {target}"


def handed(record: dict[str, Any]) -> Shape:
    """What the method is handed at once, by a training's record or a card."""
    return Shape(**record.get("handed", {}))


def _data(record: dict[str, Any], licence: str | None) -> dict[str, Any]:
    prepared = record.get("prepared") or {}
    about = _yaml(DATASETS, prepared.get("plugin") or prepared.get("dataset"))
    return {
        "dataset": prepared.get("dataset"),
        "plugin": prepared.get("plugin"),
        "label": about.get("label"),
        "reference": about.get("reference"),
        "licence": licence or about.get("licence") or "unknown",
        "simulated": prepared.get("simulated"),
        "slices": record.get("n_train"),
        "subjects": record.get("n_subjects"),
        "preparation": prepared.get("settings"),
        "preparation_sha256": prepared.get("sha256"),
        "slices_sha256": record.get("data_sha256"),
    }


def _yaml(kind: Kind, plugin_id: str | None) -> dict[str, Any]:
    """What a plugin's YAML says; nothing where the plugin is not there any more."""
    try:
        return locate(kind, plugin_id).meta() if plugin_id else {}
    except UserError:
        return {}


def _limits(record: dict[str, Any], data: dict[str, Any], scores: list[dict[str, Any]]) -> Iterable[str]:
    if data["simulated"]:
        yield "Trained on simulated images: it shows that things run, and says nothing about patients."
    of = f" of {amount(data['subjects'], 'subject')}" if data["subjects"] else ""
    slices = amount(data["slices"], "slice")
    yield f"Trained on {slices}{of} of one data set: it knows no other scanner, sequence, age or disease."
    if record.get("shape"):
        yield f"Knows slices of {' x '.join(map(str, record['shape']))} pixels, prepared as the card says."
    if not record.get("source"):
        yield "Has seen no source modality: how well it translates from one is only known where there are scores."
    yield "What a source does not show, such as a lesion, a translation may leave out or invent."
    yield "A network can hold traces of the images it was trained on: the licence of the data reaches it as well."
    if not scores:
        yield "No scores came with it."
