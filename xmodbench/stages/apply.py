"""apply: translate volumes with a trained model, and put them back where they came from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from xmodbench.data.volumes.alone import reference_of
from xmodbench.data.volumes.nifti_writing import write_nifti
from xmodbench.errors import UserError
from xmodbench.files import write_json
from xmodbench.records import recorded
from xmodbench.stages.apply_again import asked_sha256, is_there, what_decides
from xmodbench.stages.apply_inputs import Inputs, inputs_of
from xmodbench.stages.apply_items import (
    Item,
    alone_or_by_source,
    check_complete,
    items_of,
)
from xmodbench.stages.apply_model import Model, Wish
from xmodbench.stages.apply_outputs import VERB, Earlier, check_apart, earlier_of, output_sha256
from xmodbench.stages.apply_volume import Applied, apply_to
from xmodbench.stages.wall.method_job import MethodJob
from xmodbench.stages.wall.process import add_facts

NO_SPREAD = "0 everywhere, for its samples are all the same: the method draws nothing, or ignores its generators"


def apply(job: MethodJob, model: Model, given: Mapping[str, Path], out: Path, wish: Wish) -> list[tuple[Path, str]]:
    """Translate a volume (of each source), a DICOM series, or folders of either; returns which of many failed, and why.

    Beside each result lies a JSON file that says how it came about, which is written last. Of many those are passed over
    that are there already, made of the same by the same.

    Args:
        given: by modality; under no name, where it can only be one.

    Raises:
        UserError: there is nothing to translate, of which modality it is is not known, a result has no proper name or would
            take the place of a volume or of another result, or, of a single volume, whatever is wrong.
    """
    sources = model.sources([name for name in given if name], wish.force)
    volumes = {name: given[name if name in given else ""] for name in sources}
    items = items_of(volumes, out, reference_of(model.known, sources), wish.dicom)
    check_apart(items, wish.samples)
    decides = what_decides(job, model, wish)
    if items[0].given == volumes:
        _do(job, model, items[0], wish, decides)
        return []
    failed = []
    for item in job.progress.track(items, "apply", total=len(items)):
        try:
            check_complete(item, volumes)
            _do(job, model, item, wish, decides, again=False)
        except UserError as error:
            one = next(iter(item.given.values()))
            failed.append((one, str(error)))
            job.progress.say(f"{one.name}: failed")
    return failed


def _do(job: MethodJob, model: Model, item: Item, wish: Wish, decides: dict[str, Any], again: bool = True) -> None:
    """Translate one item and write what comes of it; of an earlier result nothing stays that might pass for this one's.

    Args:
        again: also where the same is there already.
    """
    earlier = earlier_of(item, wish.samples)
    asked = asked_sha256(decides, item)
    if not again and is_there(item, earlier, asked, wish.samples):
        job.progress.say(f"{item.out.name}: already there")
        item.failure.unlink(missing_ok=True)
        return
    item.out.parent.mkdir(parents=True, exist_ok=True)
    given = alone_or_by_source({name: str(path) for name, path in item.given.items()})
    with recorded(item.out.parent, VERB, file=item.record.name, input_path=given) as record:
        if earlier.writing:
            record["writing"] = earlier.writing
        with tempfile.TemporaryDirectory(prefix="xmodbench-apply-") as scratch:
            inputs = inputs_of(item, wish, Path(scratch))
            done = apply_to(job, model, inputs, wish)
            if inputs.series:
                record["series"] = alone_or_by_source({name: each.facts() for name, each in inputs.series.items()})
            _make_room(item, earlier, done, record)
            _write(item, inputs, done, f"synthetic {model.target} by {job.name} (xmodbench)")
        _finish(job, item, done, record)
        record["asked_sha256"] = asked


def _make_room(item: Item, earlier: Earlier, done: Applied, record: dict[str, Any]) -> None:
    """Take away what an earlier call wrote, and keep for the next one, should this one be killed, what is being written."""
    old = earlier.wrote(item.spread)
    record["writing"] = [item.out.name, *([item.spread.name] if old or done.spread is not None else [])]
    stopped = {"status": "failed", "error": "stopped while its result was written"}
    write_json(item.failure, {"verb": VERB, **stopped, "writing": record["writing"]})
    item.record.unlink(missing_ok=True)
    if old:
        item.spread.unlink()


def _finish(job: MethodJob, item: Item, done: Applied, record: dict[str, Any]) -> None:
    """What the record says of a result that is written."""
    del record["writing"]
    add_facts(record, done.record)
    record.update(result=item.out.name, output_sha256=output_sha256(item.out))
    if done.spread is not None:
        greatest = float(sitk.GetArrayViewFromImage(done.spread.image).max())
        if greatest == 0:
            job.progress.say(f"{item.spread.name}: {NO_SPREAD}")
        record["spread"] = {"file": item.spread.name, "sha256": output_sha256(item.spread), "greatest": greatest}


def _write(item: Item, inputs: Inputs, done: Applied, description: str) -> None:
    like = inputs.files[item.reference]
    if item.dicom:
        from xmodbench.data.volumes.dicom_writing import write_derived

        series, kind = inputs.series[item.reference], done.record["kind"]
        write_derived(item.out, done.mean.image, series, kind, description, _identity(done))
    else:
        write_nifti(item.out, done.mean.image, like, description)
    if done.spread is not None:
        write_nifti(item.spread, done.spread.image, like, f"standard deviation of {description}")


def _identity(done: Applied) -> list[str]:
    """What makes a result this one and no other's."""
    record: dict[str, Any] = done.record
    keys = ("input", "model_sha256", "code_sha256", "settings_sha256", "seed", "samples", "target")
    return [str(record[key]) for key in keys]
