"""A model's card as Markdown, for people to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xmodbench.directions import modalities_of
from xmodbench.errors import amount, plain
from xmodbench.metrics.registry import METRICS
from xmodbench.stages.given import PREPARATION
from xmodbench.stages.model_card import handed, task


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
    lines = ["xmodbench import FILE.zip model", translate]
    if PREPARATION in made["files"]:  # what leads from volumes to slices and back
        sources = modalities_of(made["source"] or "")
        given = " ".join(f"{name}=FILE" for name in sources) if len(sources) > 1 else "in.nii.gz"
        lines.append(f"xmodbench apply model {given} out.nii.gz")
    return "\n".join(f"    {line}" for line in lines)


def _scores(scores: list[dict[str, Any]]) -> str:
    if not scores:
        return "None: the run that trained it had no report, or its report is of another model or of several seeds."
    parts = []
    for direction in dict.fromkeys((row["source"], row["target"], row["dataset"]) for row in scores):
        rows = [row for row in scores if (row["source"], row["target"], row["dataset"]) == direction]
        images, subjects = rows[0]["n_images"], rows[0]["n_subjects"]
        of = f"{images} test slices of {amount(subjects, 'subject')}"
        title = f"{task({'source': direction[0], 'target': direction[1]})}, {of}"
        lines = [
            f"{title} (mean, 95 % interval over subjects):",
            "",
            "| metric | model | copying the source |",
            "|---|---|---|",
        ]
        for row in rows:
            if (metric := METRICS.get(row["metric"])) is None or metric.headline:  # all that are of somebody's own
                copying = "" if row["copying"] is None else f"{row['copying']:.4g}"
                lines.append(f"| {row['metric']} | {_number(row)} | {copying} |")
        parts.append("\n".join(lines))
    own = {row["metric"]: row["definition"] for row in scores if row["metric"] not in METRICS}
    parts += [f"`{name}`: {_marked(definition)}" for name, definition in own.items()]
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
    rows.append(("is handed", handed(made).told()))
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
