"""One volume through a trained model, and back onto its own voxels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmodbench.data.volumes.alone import NAME, Alone, prepare_alone
from xmodbench.data.volumes.doubts import doubts
from xmodbench.data.volumes.known import HU, OWN
from xmodbench.data.volumes.normalise import Ends
from xmodbench.data.volumes.putting_back import PutBack, put_back
from xmodbench.errors import UserError
from xmodbench.files import sha256_json
from xmodbench.seeding import derive_seed
from xmodbench.stages.apply_model import Model, Wish
from xmodbench.stages.parts import WHOLE, rows_of_part, seeded
from xmodbench.stages.translate import images_left, lender_of, perform_translation
from xmodbench.stages.wall.compiled import compiled
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.process import PluginProcess, add_facts
from xmodbench.store import SliceStore, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Applied:
    """A translated volume.

    Attributes:
        mean: on the voxels of the input, in the target's unit.
        spread: standard deviation over the samples, where several were drawn.
        record: how it came about.
    """

    mean: PutBack
    spread: PutBack | None
    record: dict[str, Any]


def apply_to(
    job: MethodJob, model: Model, path: Path, wish: Wish, remark: str | None = None, given: Path | None = None
) -> Applied:
    """Translate one volume.

    Prepared by the code that prepared the training volumes; translated slice by slice along the model's axis, behind the
    wall of `translate` and with a generator for each slice; put back by the inverse.

    Args:
        path: NIfTI, NRRD or MetaImage.
        remark: what was assumed when that file was made.
        given: what it was made of, for messages; the file itself if left out.

    Raises:
        UserError: the volume cannot be used or is not of the kind the model was trained on, or the method fails.
    """
    source = model.source(wish.source, wish.force)
    given = given or path
    try:
        alone = prepare_alone(path, source, model.known, wish.orientation, remark)
    except UserError as error:
        where = given if str(error.where) == str(path) else error.where
        raise UserError(error.what, where, error.fix) from None
    doubtful = doubts(model.known, source, alone.facts, alone.images.shape[-1])
    if doubtful and not wish.force:
        raise UserError(
            "; ".join(doubtful), given, "not what the model was trained on: --force goes on, and records it"
        )
    for clause in doubtful:
        job.progress.say(f"{given.name}, doubtful: {clause}")
    if model.known["simulated"]:
        alone.assumed.append("the model was trained on simulated data, not on people")
    for clause in alone.assumed:
        job.progress.say(f"{given.name}: {clause}")
    mean, spread, record = _translated(job, model, source, alone, wish)
    ends, unit = target_ends(model)
    indices = [row["index"] for row in alone.rows]
    image = put_back(mean, indices, [ends] * len(mean), alone.place, source)
    width: Ends = (0.0, ends[1] - ends[0])
    deviation = None if spread is None else put_back(spread, indices, [width] * len(mean), alone.place, source)
    return Applied(
        image,
        deviation,
        {
            "source": source,
            "target": model.target,
            "kind": "CT" if model.known["modalities"][model.target]["unit"] == HU else "MR",
            "input": {**alone.facts["files"][source], "voxels_sha256": alone.facts["voxels_sha256"]},
            "unit": unit,
            "values": {"0": ends[0], "1": ends[1], "outside the field of view": image.background},
            "assumed": alone.assumed,
            "forced": doubtful,
            "slices": {"plane": alone.place.plane.name, "first": indices[0], "last": indices[-1]},
            "prepared": {name: alone.facts[name] for name in ("grid", "crop", "scans", "head")},
            **record,
        },
    )


def target_ends(model: Model) -> tuple[Ends, str]:
    """The target's raw values that 0 and 1 stand for, and their unit in words."""
    target = model.known["modalities"][model.target]
    ends = (float(target["low"]), float(target["high"]))
    if target["unit"] == HU:
        return ends, f"HU; what lies below {ends[0]:g} or above {ends[1]:g} is not told apart"
    return ends, (
        f"{OWN}, as is typical of the {model.target} scans trained on (medians of {model.known['subjects']} subjects): "
        "such scans have no unit that they share"
    )


def _translated(
    job: MethodJob, model: Model, source: str, alone: Alone, wish: Wish
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Mean [N, H, W] and standard deviation (None of one sample) of the images, and what the record says of them."""
    with tempfile.TemporaryDirectory(prefix="xmodbench-apply-") as scratch:
        store = _store(Path(scratch) / "store", source, alone)
        process = PluginProcess(
            job,
            "translate",
            model=model.folder,
            truth=store.directory,
            lender=lender_of(job, model.record),
            compiled=compiled(job),
        )
        with process:
            _check_method(job, process.described, model)
            count, n = len(store.ids), wish.samples
            method = process.described
            method.shape.check(source, f"method '{job.name}'")
            _, volumes = rows_of_part(store, WHOLE, method.shape)
            given = {
                "source": process.stage(store, source, [*range(count)] * n if n > 1 else None, method.shape.neighbours),
                "seeds": seeds_of(job.seed, seeded(store, range(count), volumes), n),
                "stacks": volumes and [[k * count + row for row in stack] for k in range(n) for stack in volumes],
            }
            done = perform_translation(process, model.folder, model.target, wish.batch_size, given)
            shape = alone.images.shape[1:]
            batches = (
                batch[model.target][:, 0] for batch in images_left(process.out, [model.target], count * n, shape)
            )
            mean, spread = mean_and_spread(batches, count, n, shape)
            record = {
                **job.facts(),
                **method.traced_settings(),
                "seed": job.seed,
                "samples": n,
                "model_sha256": model.record["outputs_sha256"],
                "preparation_sha256": sha256_json(model.known),
                "simulated_training_data": model.known["simulated"],
                **process.trace(done),
            }
            add_facts(record, done["facts"])
    return mean, spread, record


def _store(folder: Path, source: str, alone: Alone) -> SliceStore:
    with StoreWriter(folder, [source], alone.images.shape[1:], {"dataset": NAME}) as writer:
        for image, row in zip(alone.images, alone.rows, strict=True):
            writer.add({source: image}, **row)
    return SliceStore(folder)


def _check_method(job: MethodJob, method: Described, model: Model) -> None:
    """Raise UserError unless a method translates with this model."""
    where, trained = f"method '{job.name}'", model.record.get("plugin")
    if method.control:
        raise UserError(
            "is a control: it answers for a whole test set, whose targets it is shown", where, "give a method"
        )
    if trained not in (job.location.id, method.model_plugin):
        borrows = f"models of '{method.model_plugin}'" if method.model_plugin else "models of its own"
        raise UserError(
            f"translates with {borrows}, and {model.folder} is one of '{trained}'", where, "leave out --method"
        )


def seeds_of(seed: int, ids: Sequence[str], samples: int) -> list[int]:
    """A seed for each image id of each sample, sample by sample; those of the first are the benchmark's."""
    first = [derive_seed(seed, "image", image_id) for image_id in ids]
    more = [derive_seed(seed, "image", image_id, "sample", k) for k in range(1, samples) for image_id in ids]
    return first + more


def mean_and_spread(
    batches: Iterable[np.ndarray], count: int, samples: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and standard deviation over samples of `count` images each, float32 [N, H, W], by Welford's method.

    Args:
        batches: [n, H, W], sample after sample.
    """
    mean, squares = np.zeros((count, *shape)), np.zeros((count, *shape) if samples > 1 else (0,))
    number = 0
    for batch in batches:
        for image in batch:
            sample, row = divmod(number, count)
            apart = image - mean[row]
            mean[row] += apart / (sample + 1)
            if samples > 1:
                squares[row] += apart * (image - mean[row])
            number += 1
    spread = np.sqrt(squares / (samples - 1)).astype(np.float32) if samples > 1 else None
    return mean.astype(np.float32), spread
