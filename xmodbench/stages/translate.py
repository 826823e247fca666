"""translate: run a trained method over the test slices of one direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xmodbench.commands import command
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, available
from xmodbench.plugins.contract import checked_images, checked_names
from xmodbench.plugins.discovery import Location, locate
from xmodbench.records import read_record, recorded
from xmodbench.seeding import derive_seed
from xmodbench.stages.given import Expected, check_data, check_made, check_model, check_store
from xmodbench.stages.parts import WHOLE, Part, rows_of_part, seeded
from xmodbench.stages.wall.compiled import compiled
from xmodbench.stages.wall.method_job import MethodJob
from xmodbench.stages.wall.process import PluginProcess, add_facts
from xmodbench.store import SliceStore, StoreWriter, mapped

if TYPE_CHECKING:
    import numpy as np

CHUNK = 64  # slices checked and written at once; bounds memory, changes no result


def translate(
    job: MethodJob,
    model_dir: Path | None,
    store_dir: Path,
    source: str,
    target: str,
    out: Path,
    batch_size: int,
    part: Part = WHOLE,
    expect: Expected = MappingProxyType({}),
) -> None:
    """Translate the ``source`` slices of a store; ``out`` becomes a slice store with the modality ``target``.

    Images on the way (`Method.intermediates`) are kept in it as further arrays. The method is handed the source slices
    and a seed for each, no ids; only a control sees the targets. Every image has its own generator, seeded from (seed,
    image id), so that it does not matter which part it is in.

    Args:
        model_dir: None for a control that needs no model.
        expect: what the plan says of the store and of the model.

    Raises:
        UserError: no finished model, an unusable store, one of them not what the plan or the record beside it says, a method
            that fails or is refused something, or images that break the contract.
    """
    with recorded(out, "translate", source=source, target=target, **job.facts()) as record:
        trained = read_model_record(model_dir) if model_dir else {}
        store = SliceStore(store_dir)
        if model_dir:
            _check_model(trained, model_dir, store, source, target, expect)
        check_store(store, expect, *modalities_of(source), target)
        lender = lender_of(job, trained)
        with PluginProcess(
            job,
            "translate",
            model=model_dir,
            truth=store.directory,
            lender=lender,
            compiled=compiled(job),
        ) as process:
            method = process.described
            handed = method.handed(source)
            method.shape.check(handed, f"method '{job.name}', translate")
            rows, stacks = rows_of_part(store, part, method.shape)
            if method.has_model and not model_dir:
                where = f"method '{job.name}', translate"
                raise UserError("translates with a model", where, "give --model, the folder that a training wrote")
            record.update(method.traced_settings())
            given: dict[str, Any] = {"source": process.stage(store, handed, rows, method.shape.neighbours)}
            if method.control:
                given["target"] = process.stage(store, target, rows)
                given["subjects"] = [store.subjects[row] for row in rows]
                given["seed"] = derive_seed(job.seed, "control", source, target)
            else:
                given["stacks"] = stacks
                given["seeds"] = [derive_seed(job.seed, "image", image_id) for image_id in seeded(store, rows, stacks)]
            done = perform_translation(process, model_dir, target, batch_size, given)
            names = [target, *checked_names(done["intermediates"])]
            manifest = {"kind": "translation", "source": source, "target": target, "intermediates": names[1:]}
            shape = tuple(store.manifest["shape"])
            write_translation(
                out,
                names,
                shape,
                manifest,
                [store.rows[row] for row in rows],
                images_left(process.out, names, len(rows), shape),
            )
            record.update(
                part=f"{part.number}/{part.count}",
                n_test=len(rows),
                **({"model_sha256": trained["outputs_sha256"]} if model_dir else {}),
                preparation_sha256=store.preparation_sha256,
                data_sha256=store.sha256(source),
                outputs_sha256=SliceStore(out).manifest["arrays"][target]["sha256"],
                **process.trace(done),
            )
            add_facts(record, done["facts"])


def _check_model(
    trained: dict[str, Any], model_dir: Path, store: SliceStore, source: str, target: str, expect: Expected
) -> None:
    """Raise UserError unless a model belongs to this translation, to the plan and to the slices."""
    if trained.get("target") != target:
        problem = f"was trained towards '{trained.get('target')}', not '{target}'"
        raise UserError(problem, model_dir, "give the model of that target")
    if trained.get("source") not in (None, source):
        raise UserError(
            f"was trained from '{trained['source']}', not '{source}'", model_dir, "give the model of that source"
        )
    check_made(trained, expect.get("trained"), model_dir, "trained")
    check_data(trained, store, expect, model_dir)
    check_model(model_dir, trained)


def read_model_record(model_dir: Path) -> dict[str, Any]:
    """The record of a trained model.

    Raises:
        UserError: there is none, it is not of a training, or what is given is the file that a model travels as.
    """
    if model_dir.is_file():
        exported = model_dir.suffix.lower() == ".zip"
        fix = f"`{command('import', model_dir)}` first" if exported else "give a folder that a training wrote"
        raise UserError("is a file, not the folder of a model", model_dir, fix)
    record = read_record(model_dir)
    if record.get("verb") != "train":
        raise UserError("no trained model", model_dir, "give a folder that a training wrote")
    return record


def lender_of(job: MethodJob, trained: dict[str, Any]) -> Location | None:
    """The plugin that trained the model, where it is another one and still there: a borrower reads its settings."""
    plugin_id = trained.get("plugin", job.location.id)
    if plugin_id == job.location.id or plugin_id not in available(METHODS):
        return None
    return locate(METHODS, plugin_id)


def perform_translation(
    process: PluginProcess, model_dir: Path | None, target: str, batch_size: int, handed: dict[str, Any]
) -> dict[str, Any]:
    """Have a method translate what it is `handed` (`translate_into`) into the process's folder; returns its facts.

    Raises:
        UserError: it fails, is refused something, or its images break the contract.
    """
    return process.perform(
        "translate",
        **handed,
        model=str(model_dir.resolve()) if model_dir else None,
        batch_size=batch_size,
        name=target,
        out=str(process.out),
        state=str(process.scratch / "tmp"),
    )


def images_left(made: Path, names: list[str], n: int, shape: tuple[int, ...]) -> Iterator[dict[str, np.ndarray]]:
    """What the method left, checked once more out here: its process could write what it liked."""
    arrays = {}
    for name in names:
        path = made / f"{name}.npy"
        if path.is_symlink() or not path.is_file():
            raise UserError(f"left no '{name}'", "translate")
        arrays[name] = mapped(path, "return images as an array")
    for start in range(0, n, CHUNK):
        wanted = (min(CHUNK, n - start), 1, *shape)
        yield {name: checked_images(array[start : start + CHUNK], wanted) for name, array in arrays.items()}


def write_translation(
    out: Path, names: list[str], shape: tuple[int, ...], manifest: dict, rows: list[dict], batches: Iterable
) -> None:
    """Write batches (name to [N,1,H,W]) as a slice store with the given rows.

    Raises:
        UserError: there are not as many images as rows.
    """
    remaining = iter(rows)
    with StoreWriter(out, names, shape, manifest) as writer:
        for batch in batches:
            for images in zip(*(batch[name][:, 0] for name in names), strict=True):
                writer.add(dict(zip(names, images, strict=True)), **next(remaining))
        if len(writer.rows) != len(rows):
            raise UserError(f"returned {len(writer.rows)} images for {len(rows)} slices", "translate")
