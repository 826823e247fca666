"""A volume, or one of each source, through a trained model, and back onto its own voxels."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.data.volumes.alone import NAME, Alone, prepare_alone
from xmodbench.data.volumes.doubts import doubts
from xmodbench.data.volumes.known import HU, OWN
from xmodbench.data.volumes.normalise import Ends
from xmodbench.data.volumes.putting_back import Place, PutBack, put_back
from xmodbench.directions import AND
from xmodbench.errors import UserError
from xmodbench.files import sha256_json
from xmodbench.stages.apply_inputs import Inputs
from xmodbench.stages.apply_items import alone_or_by_source
from xmodbench.stages.apply_model import Model, Wish
from xmodbench.stages.apply_samples import mean_and_spread, seeds_of
from xmodbench.stages.parts import seeded
from xmodbench.stages.translate import images_left, lender_of, perform_translation
from xmodbench.stages.wall.compiled import compiled
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.process import PluginProcess, add_facts
from xmodbench.stages.wall.staging import stacks
from xmodbench.store import SliceStore, StoreWriter


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


def apply_to(job: MethodJob, model: Model, inputs: Inputs, wish: Wish) -> Applied:
    """Translate one volume, or those of several sources at once.

    Prepared by the code that prepared the training volumes; translated slice by slice along the model's axis, behind the
    wall of `translate` and with a generator for each slice; put back by the inverse.

    Raises:
        UserError: a volume cannot be used or is not of the kind the model was trained on, or the method fails.
    """
    try:
        alone = prepare_alone(inputs.files, model.known, wish.orientation, inputs.remarks, wish.force)
    except UserError as error:
        raise inputs.of_what_was_given(error) from None
    given = inputs.given[alone.reference]
    doubtful = doubts(model.known, alone)
    if model.known["settings"]["registration"] == "none":
        doubtful += inputs.in_several_frames()
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
    source = AND.join(alone.images)
    mean, spread, record = _translated(job, model, source, alone, wish)
    ends, unit = target_ends(model)
    indices = [row["index"] for row in alone.rows]
    image = put_back(mean, indices, [ends] * len(mean), alone.place, alone.reference)
    width: Ends = (0.0, ends[1] - ends[0])
    deviation = None
    if spread is not None:
        deviation = put_back(spread, indices, [width] * len(mean), alone.place, alone.reference)
    about = ("grid", "crop", "scans", "head", *(("registration",) if "registration" in alone.facts else ()))
    return Applied(
        image,
        deviation,
        {
            "source": source,
            "target": model.target,
            "kind": "CT" if model.known["modalities"][model.target]["unit"] == HU else "MR",
            "input": alone_or_by_source(
                {name: alone.facts["files"][name] | inputs.facts.get(name, {}) for name in alone.images}
            ),
            **({"reference": alone.reference} if len(alone.images) > 1 else {}),
            "unit": unit,
            "values": {"0": ends[0], "1": ends[1], "outside the field of view": image.background},
            "assumed": alone.assumed,
            "forced": doubtful,
            "slices": {"plane": alone.place.plane.name, "first": indices[0], "last": indices[-1]},
            "prepared": {name: alone.facts[name] for name in about},
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
        every = slices_apart(model.known, alone.place)
        store = _store(Path(scratch) / "store", alone, every)
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
            volumes = stacks(store) if method.shape.volumes else None
            given = {
                "source": process.stage(store, source, [*range(count)] * n if n > 1 else None, method.shape.neighbours),
                "seeds": seeds_of(job.seed, seeded(store, range(count), volumes), n),
                "stacks": volumes and [[k * count + row for row in stack] for k in range(n) for stack in volumes],
            }
            done = perform_translation(process, model.folder, model.target, wish.batch_size, given)
            shape = tuple(store.manifest["shape"])
            batches = (
                batch[model.target][:, 0] for batch in images_left(process.out, [model.target], count * n, shape)
            )
            mean, spread = mean_and_spread(batches, count, n, shape)
            record = {
                **({} if method.shape.plain else {"neighbours_apart": every}),
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


def _store(folder: Path, alone: Alone, every: int) -> SliceStore:
    """The slices as a store, as so many subjects that interlace: neighbours are those of one subject."""
    shape = alone.images[alone.reference].shape[1:]
    with StoreWriter(folder, alone.images, shape, {"dataset": NAME}) as writer:
        for number, row in enumerate(alone.rows):
            subject = f"{NAME}-{row['index'] % every}"
            writer.add({name: stack[number] for name, stack in alone.images.items()}, **row | {"subject": subject})
    return SliceStore(folder)


def slices_apart(known: Mapping[str, Any], place: Place) -> int:
    """By how many slices of a volume those are apart that were neighbours in training, which may take few of many."""
    trained, own = known.get("step_mm"), place.grid.spacing[place.plane.normal]
    return max(1, round(trained / float(own))) if trained else 1


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
