"""export: a trained model as one file that others can use, with a card that says what it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from xmodbench.data.exported import CARD, CARD_TEXT, write_zip
from xmodbench.data.plain_files import check_name, check_plain
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file, sha256_files
from xmodbench.records import RECORD
from xmodbench.stages.given import PREPARATION, WHICH_SUBJECTS, check_model, saved_files
from xmodbench.stages.model_card import card, sealed
from xmodbench.stages.model_card_text import card_text
from xmodbench.stages.model_scores import found_in_run
from xmodbench.stages.translate import read_model_record

PICTURES = "snapshots"
"""Folder of translated training slices: images of the training data, which may not be passed on with the weights."""
STAYS = ("imported", "source_ids", "looked_for")
"""What of a training's record does not travel: names of subjects and files, and what another import has added."""


def export(model: Path, out: Path, pictures: bool = False, licence: str | None = None) -> str:
    """Write a trained model into a zip; returns the zip's SHA-256. Equal models make equal bytes.

    Pictures of training slices stay, and so do names: of subjects, of folders, and the patterns of file names.

    Args:
        model: folder that a training wrote; scores are taken from the report of its run, where it lies in one.
        out: the zip, replaced if it is there.
        pictures: take along the snapshots, which show training slices.
        licence: of the data it was trained on, where their plugin does not say.

    Raises:
        UserError: no trained model, one whose files were changed, or that holds what may be code.
    """
    record = read_model_record(model)
    check_model(model, record)
    if out.suffix != ".zip":
        raise UserError("is no name of a zip", out, "end it in .zip")
    if out.resolve().is_relative_to(model.resolve()):
        raise UserError("lies in the folder of the model", out, "write it somewhere else")
    files = {path.relative_to(model).as_posix(): path for path in saved_files(model)}
    if not pictures:
        files = {name: path for name, path in files.items() if PICTURES not in Path(name).parts}
    for name, path in files.items():
        check_name(name, model)
        check_plain(path, name, model)
    travelling = _travelling(record, sha256_files(files.values(), model))
    if (model / PREPARATION).is_file():
        files[PREPARATION] = model / PREPARATION
    if (model / CARD).is_file():
        if licence is not None:
            raise UserError("an imported model keeps the card that it came with", "--licence", "export it without")
        write_zip(out, _as_it_came(model, travelling, files))
        return sha256_file(out)
    written: dict[str, Path | bytes] = {RECORD: _json(travelling), **files}
    named = {name: _facts(content) for name, content in written.items()}
    made = card(travelling, named, found_in_run(model, record), licence)
    text = card_text(made).encode()
    write_zip(out, {CARD_TEXT: text, CARD: _json(sealed(made, CARD_TEXT, _facts(text))), **written})
    return sha256_file(out)


def _travelling(record: dict[str, Any], sha256: str) -> dict[str, Any]:
    """A training's record without names, of the files that are taken along."""
    kept = {key: value for key, value in record.items() if key not in STAYS}
    prepared = dict(record.get("prepared") or {})
    prepared["settings"] = {
        key: value for key, value in (prepared.get("settings") or {}).items() if key not in WHICH_SUBJECTS
    }
    if sha256 != record["outputs_sha256"]:
        kept["trained_sha256"] = record["outputs_sha256"]
    return {**kept, "prepared": prepared, "outputs_sha256": sha256}


def _as_it_came(model: Path, record: dict[str, Any], files: dict[str, Path]) -> dict[str, Path | bytes]:
    """An imported model with the card that it came with.

    Raises:
        UserError: the card is of another model.
    """
    made = read_json(model / CARD)
    if not isinstance(made, dict) or made.get("sha256") != record["outputs_sha256"]:
        raise UserError("is the card of another model", model / CARD, "delete it, or import the model again")
    return {CARD_TEXT: model / CARD_TEXT, CARD: model / CARD, RECORD: _json(record), **files}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _facts(content: Path | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"bytes": content.stat().st_size, "sha256": sha256_file(content)}
