"""Raw volumes to the slice stores ``train`` and ``test``."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xmodbench.data.volumes.names import check_names
from xmodbench.data.volumes.remarks import alone, assumed, doubtful, left_out
from xmodbench.data.volumes.settings import Preparation, Split
from xmodbench.data.volumes.split import split_blocks, split_subjects
from xmodbench.data.volumes.split_file import SPLIT_FILE, write_split
from xmodbench.errors import UserError
from xmodbench.files import scratch_dir
from xmodbench.plugins import SubjectRecord
from xmodbench.records import RECORD
from xmodbench.store import StoreWriter

if TYPE_CHECKING:
    from xmodbench.data.volumes.subject import Outcome, Task
    from xmodbench.plugins import Dataset
    from xmodbench.progress import Progress


def prepare_dataset(
    dataset: Dataset,
    raw_dir: Path,
    out_dir: Path,
    *,
    dataset_id: str,
    seed: int,
    threads: int,
    progress: Progress,
) -> None:
    """Write ``<out_dir>/train`` and ``<out_dir>/test``; the result does not depend on `threads`.

    A subject that cannot be used is named with its reason, listed in both manifests under ``excluded``, and does not
    stop the others.

    Raises:
        UserError: the options contradict the data set, or too few subjects can be used.
    """
    from xmodbench.data.volumes.identity import check_identity

    raw_dir, out_dir = Path(raw_dir).resolve(), Path(out_dir)
    modalities, settings = dataset.modalities(), cast(Preparation, dataset.settings)
    _check_names(modalities, settings, dataset_id)
    found = dataset.volumes(raw_dir)
    check_names(found, settings.exclude, raw_dir)
    sites = {record.subject: record.site for record in found}
    records, excluded = _usable(found, modalities, settings, raw_dir)
    for item in excluded:
        progress.say(left_out(item))
    parts = None
    if len(records) > 1:
        names = [record.subject for record in records]
        parts = dict(zip(("train", "test"), split_subjects(names, settings.split, seed, sites), strict=True))
        excluded += _not_chosen(names, parts, settings.split, {item["subject"] for item in excluded})
        chosen = {*parts["train"], *parts["test"]}
        records = [record for record in records if record.subject in chosen]
    out_dir.mkdir(parents=True, exist_ok=True)
    with scratch_dir(out_dir / "spool") as spool:
        tasks = _tasks(records, modalities, settings, raw_dir, spool, seed)
        outcomes = list(progress.track(_run(tasks, threads), f"prepare {dataset_id}", total=len(tasks)))
        for line in assumed({outcome.subject: outcome.facts for outcome in outcomes}):
            progress.say(line)
        failed = [{"subject": o.subject, "reason": o.failure} for o in outcomes if o.failure]
        for item in failed:
            progress.say(left_out(item))
        copies = check_identity([scan for o in outcomes if not o.failure for scan in o.scans()], parts, raw_dir)
        for line in copies:
            progress.say(line)
        done = [(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True) if not outcome.failure]
        _judge_pairs(done, progress)
        rows = _assign(done, parts, settings, seed, failed)
        unused = [_portable(item, raw_dir) for item in excluded + failed]
        manifest = _manifest(dataset, dataset_id, seed, parts, unused, done, rows)
        manifest |= {"copies": copies} if copies else {}
        _write(out_dir, rows, modalities, settings, manifest)
        _write_split(out_dir, manifest, sites)
    counts = ", ".join(f"{len(part)} {name}" for name, part in rows.items())
    progress.say(f"{dataset_id}: {counts} slices of {len(done)} subject{'s' if len(done) > 1 else ''}")
    if parts is None:
        progress.say(f"{dataset_id}: {alone(settings.split.gap_mm)}")


def _check_names(modalities, settings: Preparation, dataset_id: str) -> None:
    named = {f"normalise.{name}": name for name in settings.normalise}
    named |= {key: getattr(settings, key) for key in ("reference", "mask_from") if getattr(settings, key) is not None}
    for place, name in named.items():
        if name not in modalities:
            where = f"datasets.{dataset_id}.settings.{place}"
            raise UserError(f"no modality '{name}' (the data set has {', '.join(modalities)})", where)


def _usable(found, modalities, settings: Preparation, raw_dir) -> tuple[list[SubjectRecord], list[dict[str, str]]]:
    """Subjects with everything there, and the others with the reason."""
    usable, excluded = [], []
    for record in sorted(found, key=lambda item: item.subject):
        lacking = [name for name in modalities if name not in record.files]
        reason = (
            settings.exclude.get(record.subject) or record.problem or (lacking and f"no {' and no '.join(lacking)}")
        )
        if reason:
            excluded.append({"subject": record.subject, "reason": reason})
        else:
            usable.append(record)
    if not usable:
        first = f", {excluded[0]['subject']}: {excluded[0]['reason']}" if excluded else ""
        raise UserError(
            f"none of the {len(excluded)} subjects can be used{first}", raw_dir, "add volumes or see `exclude`"
        )
    return usable, excluded


def _not_chosen(names: list[str], parts: dict[str, list[str]], how: Split, known: set[str]) -> list[dict[str, str]]:
    """Where the split is given by name: who is here without being in it, or in it without being here, and the reason."""
    if how.train_subjects is None:
        return []
    named, chosen = {*how.train_subjects, *(how.test_subjects or ())}, {*parts["train"], *parts["test"]}
    reasons = {name: "the split does not name it" for name in names}
    reasons |= {name: "spare: the split has enough without it" for name in named & {*names}}
    reasons |= {name: "in the split, but not here" for name in named - {*names} - known}
    return [{"subject": name, "reason": reason} for name, reason in sorted(reasons.items()) if name not in chosen]


def _tasks(records, modalities, settings: Preparation, raw_dir, spool: Path, seed: int) -> list[Task]:
    from xmodbench.data.volumes.subject import Task

    # a plugin's own settings class cannot be found by a worker process: hand over the part that is shared
    common = Preparation.model_validate(settings.model_dump(include=set(Preparation.model_fields)))
    return [
        Task(record, tuple(modalities), common, raw_dir, spool / f"{number}.npz", seed)
        for number, record in enumerate(records)
    ]


def _run(tasks: list[Task], threads: int) -> Iterator[Outcome]:
    """Outcomes in the order of the tasks.

    Raises:
        UserError: a worker process died, most often because the system ran out of memory; it names whom it may have been.
    """
    from xmodbench.data.volumes.subject import prepare_subject

    workers = min(threads, len(tasks))
    if workers < 2:
        yield from map(prepare_subject, tasks)
        return
    # spawned, not forked: ITK's and NumPy's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from pool.map(_prepare_marked, tasks)
        except BrokenProcessPool:
            busy = " or ".join(task.record.subject for task in tasks if _mark(task).exists())
            problem = f"a worker process was killed, probably for its memory, over {busy or 'its start'}"
            fix = f"use fewer than {workers} threads; a subject that is too much for one alone goes into `exclude`"
            raise UserError(problem, "prepare", fix) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_marked(task: Task) -> Outcome:
    """`prepare_subject`, with a file beside its spool for as long as it works: all that a killed process leaves."""
    from xmodbench.data.volumes.subject import prepare_subject

    _mark(task).touch()
    outcome = prepare_subject(task)
    _mark(task).unlink()
    return outcome


def _mark(task: Task) -> Path:
    return task.spool.with_suffix(".busy")


def _assign(done, parts, settings: Preparation, seed: int, failed) -> dict[str, list[tuple[Task, int, dict]]]:
    """The rows of each split: (task, index of the image in its spool file, row)."""
    if not done:
        raise UserError(f"all {len(failed)} subjects failed, {failed[0]['subject']}: {failed[0]['reason']}", "prepare")
    if parts is None:
        task, outcome = done[0]
        blocks = split_blocks([row["position_mm"] for row in outcome.rows], settings.split, seed)
        pairs = zip(("train", "test"), blocks, strict=True)
        return {name: [(task, i, outcome.rows[i]) for i in sorted(block)] for name, block in pairs}
    rows = {
        name: [
            (task, i, row)
            for task, outcome in done
            if outcome.subject in subjects
            for i, row in enumerate(outcome.rows)
        ]
        for name, subjects in parts.items()
    }
    for name, part in rows.items():
        if not part:
            reasons = [item for item in failed if item["subject"] in parts[name]]
            problem = f"all {name} subjects failed, {reasons[0]['subject']}: {reasons[0]['reason']}"
            raise UserError(problem, "prepare", "mend the volumes or choose other subjects")
    return rows


def _judge_pairs(done: list[tuple[Task, Outcome]], progress: Progress) -> None:
    """Add to each subject's facts how its modalities fit; a doubtful one is named and kept."""
    from xmodbench.data.pairing.judge import judge

    found = judge([(outcome.subject, outcome.pairing) for _, outcome in done])
    for _, outcome in done:
        outcome.facts["pairing"] = [item.facts() for item in found[outcome.subject]]
    for line in doubtful({outcome.subject: outcome.facts for _, outcome in done}):
        progress.say(line)


def _portable(item: dict[str, str], raw_dir: Path) -> dict[str, str]:
    """Reasons name files; in a manifest they do so relative to the raw folder, wherever that was."""
    return {**item, "reason": item["reason"].replace(f"{raw_dir}/", "")}


def _manifest(dataset: Dataset, dataset_id: str, seed: int, parts, excluded, done, rows) -> dict[str, Any]:
    return {
        "dataset": dataset_id,
        "simulated": dataset.simulated,
        "seed": seed,
        "settings": json.loads(dataset.settings.model_dump_json()),
        "split_by": "subject" if parts else "slice blocks",
        "subjects_of": {name: sorted({row["subject"] for _, _, row in part}) for name, part in rows.items()},
        "excluded": sorted(excluded, key=lambda item: item["subject"]),
        "volumes": {outcome.subject: outcome.facts for _, outcome in done},
    }


def _write_split(out_dir: Path, manifest: dict[str, Any], sites: dict[str, str]) -> None:
    """``split.csv``, to be committed where a split is to be used again (`Split.file`)."""
    rows = [
        (name, part, sites.get(name, ""), "") for part in ("train", "test") for name in manifest["subjects_of"][part]
    ]
    rows += [
        (item["subject"], "excluded", sites.get(item["subject"], ""), item["reason"]) for item in manifest["excluded"]
    ]
    if manifest["split_by"] == "subject":
        write_split(out_dir / SPLIT_FILE, rows)


def _write(out_dir: Path, rows, modalities, settings: Preparation, manifest: dict[str, Any]) -> None:
    import numpy as np

    shape = (settings.image_size, settings.image_size)
    with ExitStack() as stack:
        for name, part in rows.items():
            writer = stack.enter_context(StoreWriter(out_dir / name, modalities, shape, {**manifest, "split": name}))
            spooled, images = None, {}
            for task, index, row in part:
                if task.spool != spooled:
                    with np.load(task.spool, allow_pickle=False) as file:
                        spooled, images = task.spool, {modality: file[modality] for modality in modalities}
                writer.add({modality: images[modality][index] for modality in modalities}, **row)
        # the stores change places now: an earlier record beside one new and one old would say that both are whole
        (out_dir / RECORD).unlink(missing_ok=True)
