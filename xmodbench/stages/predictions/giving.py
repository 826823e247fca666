"""export-inputs: the source slices of a direction for others to translate, without the targets they are scored with."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xmodbench.data.volumes.io import write_volume
from xmodbench.data.volumes.names import ascii_name
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError, amount
from xmodbench.files import atomic_dir
from xmodbench.plugins import Supervision
from xmodbench.plugins.contract import draw, unpaired
from xmodbench.stages.given import check_store, check_together
from xmodbench.stages.predictions.grids import slice_affines, stack
from xmodbench.store import SliceStore

Format = Literal["nifti", "png", "npy"]
COLUMNS = ("part", "modality", "id", "subject", "site", "position_mm", "file", "place")
UNPAIRED = "unpaired"


def export_inputs(
    test_dir: Path,
    source: str,
    target: str,
    out: Path,
    kind: Format,
    *,
    train_dir: Path | None = None,
    training: Supervision | None = None,
    source_slices: int | None = None,
    seed: int = 1,
) -> None:
    """Write ``out``: test source slices below ``test/``, training slices below ``training/``, ``index.csv``, ``README.txt``.

    Args:
        test_dir: the test store.
        kind: files of single slices, or volumes by subject.
        train_dir: the training store, where there are to be training slices.
        training: whose training slices: a zero-shot method's (targets alone), a few-shot's (with a few source slices, in
            another order), a paired one's.
        source_slices: of a few-shot method.
        seed: of their draw.

    Raises:
        UserError: unusable stores, slices that say nothing of their place in a volume, something in the way of ``out``.
    """
    test = SliceStore(test_dir)
    check_store(test, {}, *modalities_of(source), target)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is there already and not empty", out, "give a new folder")
    with atomic_dir(out) as folder:
        rows: list[dict[str, Any]] = []
        for name in modalities_of(source):
            rows += _write(folder, test, name, range(len(test.ids)), f"test/{name}", kind)
        if training is not None:
            assert train_dir is not None
            train = SliceStore(train_dir)
            check_store(train, {}, *modalities_of(source), target)
            check_together(test, train)
            rows += _training(folder, train, source, target, kind, training, source_slices, seed)
        with open(folder / "index.csv", "w", newline="", encoding="utf-8") as handle:
            table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        (folder / "README.txt").write_text(_readme(test, source, target, kind, training), encoding="utf-8")


def _training(
    folder: Path,
    train: SliceStore,
    source: str,
    target: str,
    kind: Format,
    training: Supervision,
    source_slices: int | None,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Write what a method of a supervision may see in training."""
    if training is Supervision.CONTROL:
        raise UserError("controls are not trained", "--training", "give zero-shot, few-shot or paired")
    yield from _write(folder, train, target, range(len(train.ids)), f"training/{target}", kind)
    if training is Supervision.PAIRED:
        for name in modalities_of(source):
            yield from _write(folder, train, name, range(len(train.ids)), f"training/{name}", kind)
    if training is Supervision.FEW_SHOT:
        if kind == "nifti":
            fix = "give --format png or npy"
            raise UserError("a few-shot method's source slices are single ones, which make no volume", "--format", fix)
        if source_slices is None:
            raise UserError("how many source slices?", "--source-slices", "give their number")
        rows = unpaired(draw(source_slices, len(train.ids), seed) or [], seed)
        for name in modalities_of(source):  # of the same slices: only to the target they are unpaired
            yield from _unpaired(folder, train, name, rows, kind)


def _unpaired(folder: Path, train: SliceStore, source: str, rows: list[int], kind: Format) -> Iterator[dict[str, Any]]:
    """Slices by number, in an order of their own: ids would tell which target slices they belong to."""
    for number, row in enumerate(rows):
        name = f"training/{source}/{UNPAIRED}-{number:05d}.{kind}"
        _write_slice(folder / name, train.array(source)[row])
        facts = dict.fromkeys(COLUMNS, "")
        yield facts | {"part": "training", "modality": source, "id": Path(name).stem, "file": name}


def _write(
    folder: Path, store: SliceStore, modality: str, rows: range, below: str, kind: Format
) -> Iterator[dict[str, Any]]:
    """Write slices of a modality, and yield a row of the index for each."""
    part, images = below.partition("/")[0], store.array(modality)
    if kind != "nifti":
        for row in rows:
            name = f"{below}/{store.ids[row]}.{kind}"
            _write_slice(folder / name, images[row])
            yield _indexed(store, row, part, modality, name, 0)
        return
    affines = slice_affines(store)
    by_subject: dict[str, list[int]] = {}
    for row in rows:
        by_subject.setdefault(store.subjects[row], []).append(row)
    for subject, own in by_subject.items():
        volume = stack(own, affines, f"{store.directory}, {subject}")
        name = f"{below}/{ascii_name(subject)}.nii.gz"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_volume(volume.image(images[own]), folder / name)
        yield from (
            _indexed(store, row, part, modality, name, place)
            for row, place in zip(volume.rows, volume.places, strict=True)
        )


def _indexed(store: SliceStore, row: int, part: str, modality: str, name: str, place: int) -> dict[str, Any]:
    facts = store.rows[row]
    kept = {key: facts[key] for key in ("id", "subject", "site", "position_mm")}
    return {"part": part, "modality": modality, **kept, "file": name, "place": place}


def _write_slice(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.asarray(image, np.float32))
        return
    from PIL import Image

    Image.fromarray(np.round(np.asarray(image, np.float64) * 65535).astype(np.uint16)).save(path)


_FILES = {
    "nifti": "NIfTI, a volume for each subject, float32 in [0, 1]; its header says where the scan lies. `place` in\n"
    "index.csv is the slice's index along the third axis, from 0; what no row of it names is empty (0) and not scored.",
    "png": "PNG, one file for each slice, 16-bit grey: 0 is 0 and 65535 is 1.",
    "npy": "numpy, one file for each slice, float32 [rows, columns] in [0, 1].",
}


def _readme(test: SliceStore, source: str, target: str, kind: Format, training: Supervision | None) -> str:
    height, width = test.manifest["shape"]
    known, first = test.manifest.get("dataset", "the data set"), test.ids[0]
    given, hash_ = (
        f"{amount(len(test.ids), 'slice')} of {amount(len(set(test.subjects)), 'subject')}",
        test.sha256(source),
    )
    below = " and ".join(f"test/{name}/" for name in modalities_of(source))
    seen = f"Training slices of a {training} method are below training/." if training else "No training slices."
    simulated = "These are simulated data.\n" if test.manifest.get("simulated") else ""
    return f"""\
{known}: {source} to {target}

To translate: {given}, {height} rows x {width} columns of pixels, below {below}.
{_FILES[kind]}
index.csv has a row for each slice. {seen}
{simulated}
Send back one {target} image for each of these slices, on the same {height} x {width} pixels, either as
- PNG, 8 or 16 bits, one grey channel, named by the slice's id: {first}.png
- numpy, float [rows, columns] in [0, 1], named by the slice's id: {first}.npy
- NIfTI (or NRRD, MetaImage), one volume for each subject, named by the subject: {ascii_name(test.subjects[0])}.nii.gz,
  with the header of the input volume, or with any other that says where it lies: it is resampled onto the slices.
Values are in [0, 1] as those of the inputs (--units unit); a CT mapped by a fixed window may come in HU (--units hu).

They are scored by
  xmodbench score --predictions FOLDER --dataset {known} --direction '{source}->{target}' --name "Our method"

sha256 of the {source} slices: {hash_}
"""
