"""train: fit one method on what its supervision lets it see."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, sha256_files
from xmodbench.plugins import FewShot, Method, Run, TrainData, TwoPhase
from xmodbench.records import read_record, recorded
from xmodbench.seeding import nested_draw
from xmodbench.store import SliceStore
from xmodbench.training import processes


def train(
    method: Method,
    store_dir: Path,
    target: str,
    source: str | None,
    out: Path,
    run: Run,
    pretrained: Path | None = None,
    **facts: Any,
) -> None:
    """Train ``method`` towards ``target`` and write the model folder ``out``; its record comes last.

    The method gets copies of the arrays its supervision allows, in a private folder that holds nothing else, so that even
    a method that goes looking finds no source and no test slice (design invariant 1).

    Of several processes that a launcher started only the main one writes.

    Args:
        pretrained: what `pretrain` wrote, for a method in two phases; without it both phases are done here.

    Raises:
        UserError: source given or missing against the supervision, an unusable store, a method that fails, a pretrained
            model that is not finished or that the method has no use for.
    """
    if pretrained is not None:
        _check_phases(method, "train --pretrained")
        first = read_record(pretrained)
        if (first.get("target"), first.get("source")) != (target, source):
            problem = f"was pretrained towards '{first.get('target')}', not '{target}'"
            raise UserError(problem, pretrained, "give the folder that `xmodbench pretrain` wrote for this target")
        facts["pretrained_sha256"] = first["outputs_sha256"]
        run.pretrained = Path(pretrained)
    elif isinstance(method, TwoPhase) and processes.world() > 1:
        problem = "the second phase of this method trains in one process"
        raise UserError(problem, "train", "use `xmodbench pretrain` with several, then `train --pretrained` with one")
    _job("train", method, (method.fit, method.save), store_dir, target, source, out, run, facts)


def pretrain(
    method: Method, store_dir: Path, target: str, source: str | None, out: Path, run: Run, **facts: Any
) -> None:
    """The first phase of a training in two, as `train` in everything else.

    Raises:
        UserError: as `train`; the method is trained in one phase.
    """
    _check_phases(method, "pretrain")
    _job("pretrain", method, (method.pretrain, method.save_pretrained), store_dir, target, source, out, run, facts)


def _check_phases(method: Method, where: str) -> None:
    if not isinstance(method, TwoPhase):
        raise UserError("this method is trained in one phase", where, "use `xmodbench train` alone")


def _job(verb, method, work, store_dir, target, source, out, run, facts) -> None:
    """Hand out the arrays, let `work` (train, then save) be done, and record it."""
    fit, save = work
    supervision = method.supervision
    if supervision.needs_source != (source is not None):
        need = "needs the source modality" if supervision.needs_source else "must not be given a source"
        raise UserError(f"a {supervision} method {need}", verb)
    if processes.rank() > 0:
        _assist(method, fit, SliceStore(store_dir), target, source, run)
        return
    with recorded(out, verb, target=target, source=source, supervision=str(supervision), **facts) as record:
        store = SliceStore(store_dir)
        run.state_dir.mkdir(parents=True, exist_ok=True)
        rows = drawn_rows(method, len(store.ids), run.seed)
        if rows is not None:
            run.progress.say(f"sees {len(rows)} of {len(store.ids)} slices of {source}")
            record.update(source_slices=len(rows), source_ids=[store.ids[row] for row in rows])
        with staged(store, target, source, rows) as data:
            fit(data, run)
        with atomic_dir(out) as folder:
            save(folder)
            written = [path for path in folder.rglob("*") if path.is_file()]
            record["outputs_sha256"] = sha256_files(written, folder)
        shutil.rmtree(run.state_dir, ignore_errors=True)
        record.update(run.facts, n_train=len(store.ids), seed=run.seed, device=run.device, threads=run.threads)
        record["data_sha256"] = {
            name: store.manifest["arrays"][name]["sha256"] for name in (target, source) if name is not None
        }
    processes.separate()


def _assist(method: Method, fit, store: SliceStore, target: str, source: str | None, run: Run) -> None:
    """Take part in a training whose main process writes everything, and wait for it."""
    run.progress.quiet = True
    with staged(store, target, source, drawn_rows(method, len(store.ids), run.seed)) as data:
        fit(data, run)
    processes.separate()


def drawn_rows(method: Method, available: int, seed: int) -> list[int] | None:
    """Rows of the source slices that a few-shot method is handed, of those there are; None for other methods.

    Smaller draws are part of larger ones.

    Raises:
        UserError: the method asks for more slices than there are, or for none.
    """
    if not isinstance(method, FewShot):
        return None
    wanted = method.source_slices(available)
    if not 1 <= wanted <= available:
        problem = f"asks for {wanted} source slices, there are {available}"
        raise UserError(problem, "settings.slices", "ask for fewer" if wanted > available else "ask for one at least")
    return nested_draw(available, wanted, seed)


@contextmanager
def staged(store: SliceStore, target: str, source: str | None, rows: list[int] | None = None) -> Iterator[TrainData]:
    """Copies of the allowed arrays in a private temporary folder, as [N, 1, H, W] read-only memory maps.

    Of the source only `rows`, if they are given.

    Copies, not links: the file behind a link would tell where the other modality lies.
    """
    with tempfile.TemporaryDirectory(prefix="xmodbench-train-") as private:
        yield TrainData(
            target=_staged_copy(store, target, Path(private)),
            source=None if source is None else _staged_copy(store, source, Path(private), rows),
        )


def _staged_copy(store: SliceStore, modality: str, folder: Path, rows: list[int] | None = None) -> np.ndarray:
    array, path = store.array(modality), folder / f"{modality}.npy"  # its shape and type are checked
    if rows is None:
        shutil.copyfile(store.directory / path.name, path)
    else:
        np.save(path, array[rows], allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)[:, None]
