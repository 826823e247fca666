"""The card of a model that travels: what it is, what it was made of and how well it did, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xmodbench.data.exported import FORMAT_VERSION, KIND
from xmodbench.errors import UserError, plain
from xmodbench.files import sha256_json
from xmodbench.metrics.registry import METRICS
from xmodbench.plugins import DATASETS, METHODS, Kind
from xmodbench.plugins.discovery import locate

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
    source = record.get("source")
    return f"{source.upper()} to {record['target'].upper()}" if source else f"any source to {record['target'].upper()}"


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
    of = f" of {data['subjects']} subjects" if data["subjects"] else ""
    yield f"Trained on {data['slices']} slices{of} of one data set: it knows no other scanner, sequence, age or disease."
    if record.get("shape"):
        yield f"Knows slices of {' x '.join(map(str, record['shape']))} pixels, prepared as the card says."
    if not record.get("source"):
        yield "Has seen no source modality: how well it translates from one is only known where there are scores."
    yield "What a source does not show, such as a lesion, a translation may leave out or invent."
    yield "A network can hold traces of the images it was trained on: the licence of the data reaches it as well."
    if not scores:
        yield "No scores came with it."


# -- Markdown -------------------------------------------------------------------------------------------------------------
def card_text(made: dict[str, Any]) -> str:
    """The card for people to read."""
    label, data, training = made["plugin"].get("label", made["plugin"]["id"]), made["data"], made["training"]
    of = data["label"] or data["dataset"] or "unknown data"
    parts = [
        f"# {_marked(label)}: {_marked(task(made))}, trained on {_marked(of)}",
        _marked(made["plugin"].get("summary", "")),
        "## Use\n\n" + made["intended_use"] + "\n\n" + _import_lines(made),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in made["limits"]),
        "## Scores\n\n" + _scores(made["scores"]),
        "## Data\n\n" + _table(_data_rows(data)),
        "## Training\n\n" + _table(_training_rows(made, training)),
        "## Settings\n\nOptions that have a value; where there is a preset, it fills in the rest.\n\n"
        + _table(_given(made["settings"]) or [("all", "the plugin's defaults")]),
        "## Made with\n\n" + _table(sorted(made["versions"].items())),
        "## Files\n\n" + _table((f"`{name}`", f"{file['sha256']}") for name, file in made["files"].items()),
        f"Everything above, and more, as data: `model-card.json`. Model {made['sha256']}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _import_lines(made: dict[str, Any]) -> str:
    translate = f"xmodbench translate {made['plugin']['id']} --model model --target {made['target']} ..."
    return f"    xmodbench import FILE.zip model\n    {translate}"


def _scores(scores: list[dict[str, Any]]) -> str:
    if not scores:
        return "None: the run that trained it had no report, or the report is of another model."
    parts = []
    for direction in dict.fromkeys((row["source"], row["target"], row["dataset"]) for row in scores):
        rows = [row for row in scores if (row["source"], row["target"], row["dataset"]) == direction]
        images, subjects = rows[0]["n_images"], rows[0]["n_subjects"]
        title = f"{direction[0].upper()} to {direction[1].upper()}, {images} test slices of {subjects} subjects"
        lines = [
            f"{title} (mean, 95 % interval over subjects):",
            "",
            "| metric | model | copying the source |",
            "|---|---|---|",
        ]
        for row in rows:
            if (metric := METRICS.get(row["metric"])) is not None and metric.headline:
                copying = "" if row["copying"] is None else f"{row['copying']:.4g}"
                lines.append(f"| {row['metric']} | {_number(row)} | {copying} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _number(row: dict[str, Any]) -> str:
    text = f"{row['mean']:.4g} {row['unit']}".strip()
    return text if row["ci_low"] is None else f"{text} [{row['ci_low']:.4g}, {row['ci_high']:.4g}]"


def _data_rows(data: dict[str, Any]) -> list[tuple[str, object]]:
    names = ("dataset", "reference", "licence", "simulated", "slices", "subjects", "preparation_sha256")
    rows: list[tuple[str, object]] = [(name, data[name]) for name in names]
    rows += [(f"prepared with `{name}`", value) for name, value in _given(data["preparation"] or {})]
    return [(name, value) for name, value in rows if value is not None]


def _training_rows(made: dict[str, Any], training: dict[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("supervision", made["supervision"]), ("seed", made["seed"])]
    rows += [(_LABELS.get(name, name.replace("_", " ")), _shown(value)) for name, value in training.items()]
    return [*rows, ("plugin", made["plugin"]["id"]), ("its code", made["plugin"]["code_sha256"])]


_LABELS = {
    "duration_s": "seconds in all",
    "training_s": "seconds of training",
    "isolation": "walled in by",
    "peak_memory_mb": "peak memory, MiB",
}


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{item:g} ({name})" for name, item in value.items())
    return f"{value:.6g}" if isinstance(value, float) else value


def _given(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Options that have a value, nested ones with their path."""
    rows: list[tuple[str, object]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            rows += _given(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((prefix + name, value))
    return rows


def _table(rows: Iterable[tuple[str, object]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {_marked(value)} |" for name, value in rows)])


def _marked(value: object) -> str:
    """Text that Markdown renders as it is, on one line."""
    text = plain(str(value))
    for mark in "\\`*_[]|<>#":
        text = text.replace(mark, f"\\{mark}")
    return text
