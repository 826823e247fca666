"""import: a model that was exported, as a model's folder again, with all that its training recorded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from xmodbench.data.exported import AGAIN, ExportedModel
from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, write_json
from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import locate
from xmodbench.progress import Progress
from xmodbench.records import RECORD, failing
from xmodbench.stages.given import model_sha256
from xmodbench.stages.translate import read_model_record

SAME = ("target", "source", "supervision", "seed", "settings", "shape")
"""What card and record both say, in one way."""


def import_model(path: Path, out: Path, progress: Progress, planned: Mapping[str, Any] | None = None) -> ExportedModel:
    """Unpack an exported model into the folder `out`, once every file has been compared with what its card says.

    The record there is that of its training, with ``imported``: the zip's hash, and whether the plugin's code is still the
    one that trained it. Other code is said, not refused: every version of this package has other code.

    Args:
        planned: in a run, ``sha256`` of the zip that its plan was made with, and the plugin that is to use it; `out` is then
            replaced, and a failure written down there.

    Raises:
        UserError: the zip is not whole, not ours, not the planned one, holds what a model may not, or `out` is in use.
    """
    with failing(out, "import", RECORD, {"verb": "import"}) if planned is not None else nullcontext():
        if planned is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError("is there already", out, "give another folder, or delete it")
        exported = ExportedModel.read(path)
        if planned and planned["sha256"] != exported.sha256:
            raise UserError("is another file than when the run was planned", path, "run again")
        imported = {"file": path.name, "sha256": exported.sha256, "other_code": _other_code(exported, progress)}
        with atomic_dir(out) as folder:
            exported.unpack(folder)
            record = _record(folder, exported)
            write_json(folder / RECORD, {**record, "imported": imported})
    return exported


def _record(folder: Path, exported: ExportedModel) -> dict[str, Any]:
    """The training's record, which has to say what the card says, of the files that are there."""
    try:
        record = read_model_record(folder)
    except UserError as error:
        raise UserError(f"its {RECORD}: {error.what}", exported.path, AGAIN) from None
    card = exported.card
    said = {name: getattr(card, name) for name in SAME}
    said |= {"plugin": card.plugin.id, "code_sha256": card.plugin.code_sha256, "outputs_sha256": card.sha256}
    for name, value in said.items():
        if record.get(name) != value:
            raise UserError(f"its card and its record differ in {name}", exported.path, AGAIN)
    if model_sha256(folder) != card.sha256:
        raise UserError("its files are not those that were trained (the SHA-256 differs)", exported.path, AGAIN)
    return record


def _other_code(exported: ExportedModel, progress: Progress) -> bool | None:
    """Whether the plugin here is not what trained the model; None where there is no such plugin."""
    trained = exported.card.plugin
    try:
        now = locate(METHODS, trained.id).code_hash
    except UserError as error:
        progress.say(f"{exported.path}: no plugin here can use it ({error})")
        return None
    if now != trained.code_sha256:
        progress.say(
            f"{exported.path}: '{trained.id}' has other code here than where it was trained; translations may differ"
        )
    return now != trained.code_sha256
