"""Whether what a stage is given is what it should be: what the plan asks for, and what the records beside it speak of.

The workflow hands every job what the plan says of the jobs before it (`--expect`). By hand there is no plan; then what was
made together has to be used together, as far as records tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmodbench.commands import remake
from xmodbench.data.exported import CARD, CARD_TEXT
from xmodbench.errors import UserError
from xmodbench.files import sha256_file, sha256_files
from xmodbench.records import FAILURE, RECORD, is_recorded, other_than, read_record
from xmodbench.store import SliceStore

Expected = Mapping[str, Mapping[str, Any]]
"""By what was to be done (``prepared``, ``pretrained``, ``trained``, ``translated``): the plan's plugin, seed, settings."""


def check_store(store: SliceStore, expect: Expected, *modalities: str) -> None:
    """Compare a store of slices with the plan, with the record of its preparation and with its own manifest.

    Args:
        modalities: those that are going to be used.

    Raises:
        UserError: it was prepared otherwise than the plan asks for, is of another preparation than the record beside it, or
            its files are not those of its manifest.
    """
    folder = store.directory.parent
    fix = remake(folder / RECORD, "prepare the data set again")
    wanted = dict(expect.get("prepared", {}))
    if (difference := other_than({key: store.manifest.get(key) for key in ("settings", "seed")}, wanted)) is not None:
        raise UserError(f"prepared with {difference}", store.directory, fix)
    if is_recorded(folder, "prepare"):
        record = read_record(folder)
        known = record.get("stores_sha256", {}).get(store.directory.name)
        if known not in (None, sha256_file(store.directory / "manifest.json")):
            raise UserError("not the store that the record of its preparation speaks of", store.directory, fix)
        raw = wanted.get("raw")
        if raw is not None and "raw" in record and Path(raw).resolve() != Path(record["raw"]).resolve():
            raise UserError(f"prepared from {record['raw']}, not {raw}", store.directory, fix)
    store.verify(*modalities)


def check_together(one: SliceStore, other: SliceStore) -> None:
    """Refuse stores of two preparations: subjects of one's training might be in the other's test.

    Raises:
        UserError: their settings, seeds, volumes or splits are not the same.
    """
    if one.preparation_sha256 != other.preparation_sha256:
        problem = f"not of the same preparation as {other.directory}"
        raise UserError(problem, one.directory, "prepare the data set again, so that both are made together")


def check_made(record: Mapping[str, Any], wanted: Mapping[str, Any] | None, folder: Path, done: str) -> None:
    """Compare a job's record with what the plan asks for, which is None by hand.

    Raises:
        UserError: another plugin, seed or setting; `done` says what was done, such as ``trained``.
    """
    if wanted is not None and (difference := other_than(record, wanted)) is not None:
        raise UserError(f"{done} with {difference}", folder, remake(folder / RECORD, f"have it {done} again"))


PREPARATION = "preparation.json"
"""Beside what a method saved: what its harness keeps of the volumes trained on (`xmodbench.data.volumes.known`)."""


def model_sha256(folder: Path) -> str:
    """Hex SHA-256 over what a method saved."""
    return sha256_files(saved_files(folder), folder)


def saved_files(folder: Path) -> list[Path]:
    """What a method saved: all files of a model's folder but those of the harness, links and hidden ones (``.DS_Store``)."""
    return sorted(path for path in folder.rglob("*") if _is_saved(path, folder))


BESIDE = (RECORD, FAILURE, PREPARATION, CARD, CARD_TEXT)
"""Files that the harness puts beside what a method saved."""


def _is_saved(path: Path, folder: Path) -> bool:
    if path in [folder / name for name in BESIDE] or path.name.startswith("."):
        return False
    return path.is_file() and not path.is_symlink()


def check_model(folder: Path, record: Mapping[str, Any]) -> None:
    """Compare a model's files with what its training recorded.

    Raises:
        UserError: files were changed, added or taken away since it was trained.
    """
    if model_sha256(folder) != record.get("outputs_sha256"):
        fix = remake(folder / RECORD, "put back what training left there, or train the model again")
        raise UserError("its files are not those that were trained (the SHA-256 differs)", folder, fix)


def check_data(record: Mapping[str, Any], store: SliceStore, expect: Expected, folder: Path) -> None:
    """Compare the data that a model was trained on with those it is going to translate.

    In a run they are of one preparation. By hand, and with an imported model, new volumes of the same kind, or of another
    data set, may be translated: but those of the same data set have to be prepared alike, and an imported model translates
    slices of the size it was trained on.

    Raises:
        UserError: they are not.
    """
    trained, fix = (
        record.get("prepared") or {},
        f"train again, or prepare {store.directory.parent} as it was for the model",
    )
    if record.get("imported"):
        _check_shape(record, store, folder)
    elif expect and trained.get("sha256") not in (None, store.preparation_sha256):
        raise UserError(
            f"trained on another preparation of the data than {store.directory}",
            folder,
            remake(folder / RECORD, "train it again"),
        )
    if trained.get("dataset") != store.manifest.get("dataset"):
        return
    settings = {key: value for key, value in (trained.get("settings") or {}).items() if key not in WHICH_SUBJECTS}
    now = {"settings": store.manifest.get("settings")}
    if settings and (difference := other_than(now, {"settings": settings})) is not None:
        raise UserError(f"prepared with {difference} as the model's data were", store.directory, fix)


def _check_shape(record: Mapping[str, Any], store: SliceStore, folder: Path) -> None:
    """Refuse slices of another size than an imported model was trained on."""
    trained, now = record.get("shape"), store.manifest["shape"]
    if trained not in (None, now):
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in (trained, now))
        problem = f"was trained on slices of another size than those of {store.directory} ({sizes} pixels)"
        raise UserError(problem, folder, "set the data set's image_size to the model's, or use a model of this size")


WHICH_SUBJECTS = frozenset({"patterns", "subject_pattern", "split", "exclude", "n_subjects"})
"""Settings that say which volumes are taken, and not what slices are made of them."""


def prepared(store: SliceStore) -> dict[str, Any]:
    """What a training's record says of its data's preparation."""
    found = {key: store.manifest.get(key) for key in ("dataset", "simulated", "settings", "seed")}
    folder = store.directory.parent
    plugin = read_record(folder).get("plugin") if is_recorded(folder, "prepare") else None
    return {**found, "plugin": plugin, "sha256": store.preparation_sha256}
