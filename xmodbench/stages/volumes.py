"""volumes: a translation of a test set, its targets or its sources back into volumes, one per subject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.commands import remake
from xmodbench.data.volumes.names import ascii_name
from xmodbench.data.volumes.nifti_writing import write_nifti
from xmodbench.data.volumes.putting_back import Place, PutBack, put_back, row_ends, row_index
from xmodbench.directions import first_of
from xmodbench.errors import UserError
from xmodbench.progress import Progress
from xmodbench.records import RECORD, read_record, recorded
from xmodbench.stages.given import check_store
from xmodbench.stages.predictions.matching import some
from xmodbench.store import SliceStore

PREPARED, SOURCE, TARGET = "prepared", "source", "target"
GRIDS = (PREPARED, SOURCE, TARGET)
"""The grid that slices were cut out of, or that of a scan's file."""
TRANSLATION = "translation"


@dataclass(frozen=True)
class SubjectVolume:
    """What is known of one subject as a volume.

    Attributes:
        volume: in HU, or in the units of the subject's own scan of the modality.
        slices: how many there are.
    """

    subject: str
    volume: PutBack
    slices: int


def volumes_of(
    images: SliceStore, data: SliceStore, modality: str, scan: str | None = None, background: float | None = None
) -> Iterator[SubjectVolume]:
    """Put the slices of a modality back into volumes, one per subject, in the order of the store.

    Args:
        images: holds the modality: `data` itself, or a translation of it.
        data: the store that the slices were prepared in, which knows where they were.
        scan: the modality whose file's grid the volumes are brought to; the grid they were cut out of if left out.

    Raises:
        UserError: the store was prepared before it kept what leads back, or the translation is not of its slices.
    """
    known = {row["id"]: row for row in data.rows}
    array = images.array(modality)
    for subject in dict.fromkeys(images.subjects):
        numbers = [number for number, name in enumerate(images.subjects) if name == subject]
        lacking = [images.ids[number] for number in numbers if images.ids[number] not in known]
        if lacking:
            raise UserError(f"has a slice '{lacking[0]}', which {data.directory} has not", images.directory)
        rows = [known[images.ids[number]] for number in numbers]
        place = Place.read(data.manifest.get("volumes", {}).get(subject, {}), data.directory)
        if scan is not None and scan not in place.scans:
            raise UserError(f"does not know the grid of '{scan}'", data.directory, "prepare the data set again")
        ends = [row_ends(row, modality, data.directory) for row in rows]
        indices = [row_index(row, data.directory) for row in rows]
        yield SubjectVolume(subject, put_back(array[numbers], indices, ends, place, scan, background), len(rows))


def write_volumes(
    translation: Path, store_dir: Path, out: Path, grid: str, also: tuple[str, ...], progress: Progress
) -> None:
    """Write ``<out>/<subject>/<translation|source|target>.nii.gz``, and a record that comes last.

    Args:
        translation: folder that `translate` or `gather` wrote.
        store_dir: the store that was translated.
        grid: one of `GRIDS`.
        also: ``source`` (of several the first), ``target``: what is written beside the translations.

    Raises:
        UserError: as `volumes_of`; what is given is no translation, or of other slices.
    """
    with recorded(out, "volumes", grid=grid, translation=str(translation)) as record:
        images, data = SliceStore(translation), SliceStore(store_dir)
        source, target = _directions(images)
        made = read_record(translation)
        images.verify()
        if made.get("outputs_sha256") != images.manifest["arrays"][target]["sha256"]:
            problem = "not the images that the record beside them speaks of"
            raise UserError(problem, translation, remake(translation / RECORD, "translate it again"))
        check_store(data, {})
        if made.get("data_sha256") != data.sha256(source):
            raise UserError(
                f"made of other slices than those of {store_dir}", translation, "give the store it was made of"
            )
        simulated = bool(data.manifest.get("simulated"))
        missing = _missing(images, data, progress)
        by = f"synthetic {target} by {made.get('name')} (xmodbench)"
        first = first_of(source)
        what = {TRANSLATION: (images, target, by), SOURCE: (data, first, first), TARGET: (data, target, target)}
        scan = {SOURCE: first, TARGET: target}.get(grid)
        parts: dict[str, dict[str, Any]] = {}
        for kind in (TRANSLATION, *also):
            store, modality, words = what[kind]
            found = volumes_of(store, data, modality, scan)
            for item in progress.track(found, f"volumes {kind}", total=len(set(store.subjects))):
                path = out / folder_name(item.subject) / f"{kind}.nii.gz"
                write_nifti(path, item.volume.image, None, f"{words}, of simulated data" if simulated else words)
                parts.setdefault(item.subject, {})[kind] = {"slices": item.slices, "background": item.volume.background}
        record.update(
            {key: made[key] for key in ("name", "plugin", "model_sha256", "data_sha256", "seed") if key in made},
            source=source,
            target=target,
            translation_sha256=made.get("outputs_sha256"),
            simulated=simulated,
            subjects=parts,
            **missing,
        )


def _missing(images: SliceStore, data: SliceStore, progress: Progress) -> dict[str, Any]:
    """What a record says of slices that have no translation, as those of partial predictions; it is told as well."""
    there = set(images.ids)
    missing = [image_id for image_id in data.ids if image_id not in there]
    if not missing:
        return {}
    whole = sorted(set(data.subjects) - set(images.subjects))
    progress.say(f"{len(missing)} of {len(data.ids)} slices have no translation and are left empty: {some(missing)}")
    if whole:
        progress.say(f"no volume of {some(whole)}: no slice of theirs is translated")
    return {"missing": missing, "missing_subjects": whole}


def _directions(images: SliceStore) -> tuple[str, str]:
    """Source and target of a translation."""
    source, target = (images.manifest.get(key) for key in (SOURCE, TARGET))
    if images.manifest.get("kind") != TRANSLATION or not isinstance(source, str) or not isinstance(target, str):
        raise UserError("no translation", images.directory, "give a folder that translate wrote")
    return source, target


def folder_name(subject: str) -> str:
    """A subject's name, as far as a folder can bear it."""
    plain = "/" not in subject and not subject.startswith(".")
    return subject if plain else ascii_name(subject).lstrip(".") or "subject"
