"""translate: run a trained method over the test slices of one direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.plugins import Control, Method, Run
from xmodbench.records import read_record, recorded
from xmodbench.seeding import ImageGenerator, derive_seed
from xmodbench.store import SliceStore, StoreWriter


def translate(
    method: Method,
    model_dir: Path,
    store_dir: Path,
    source: str,
    target: str,
    out: Path,
    run: Run,
    batch_size: int,
    **facts: Any,
) -> None:
    """Translate all ``source`` slices of a store; ``out`` becomes a slice store with the modality ``target``.

    Only a control sees the targets. Every image has its own generator, seeded from (seed, image id).

    Raises:
        UserError: no finished model, an unusable store, or images that break the contract.
    """
    with recorded(out, "translate", source=source, target=target, **facts) as record:
        trained = read_record(model_dir)
        store = SliceStore(store_dir)
        method.load(model_dir, run)
        sources = store.array(source)[:, None]
        if isinstance(method, Control):
            seed = derive_seed(run.seed, "control", source, target)
            batches = [method.answer(sources, store.array(target)[:, None], store.subjects, seed)]
        else:
            batches = _translated(method, sources, store.ids, run, batch_size)
        _write(store, batches, sources.shape, target, source, out)
        record.update(
            run.facts,
            n_test=len(store.ids),
            seed=run.seed,
            device=run.device,
            model_sha256=trained["outputs_sha256"],
            data_sha256=store.manifest["arrays"][source]["sha256"],
            outputs_sha256=SliceStore(out).manifest["arrays"][target]["sha256"],
        )


def _translated(method: Method, sources: np.ndarray, ids: list[str], run: Run, batch_size: int):
    starts = range(0, len(ids), batch_size)
    for start in run.progress.track(starts, "translate", total=len(starts)):
        part = slice(start, start + batch_size)
        generators = [ImageGenerator.of(run.seed, image_id) for image_id in ids[part]]
        yield checked_images(method.translate(np.ascontiguousarray(sources[part]), generators), sources[part].shape)


def checked_images(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images as float32, or a UserError saying how they break the contract."""
    if not isinstance(images, np.ndarray):
        raise UserError(f"returned {type(images).__name__}, expected a NumPy array", "translate")
    if images.shape != shape:
        raise UserError(f"returned shape {images.shape}, expected {shape}", "translate")
    images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise UserError(f"{bad} of {len(images)} images hold NaN or infinite values", "translate")
    if images.min() < 0 or images.max() > 1:
        raise UserError(f"values in [{images.min():.3g}, {images.max():.3g}], expected [0, 1]", "translate")
    return images


def _write(store: SliceStore, batches, shape, target: str, source: str, out: Path) -> None:
    rows = iter(store.rows)
    manifest = {"kind": "translation", "source": source, "target": target}
    with StoreWriter(out, [target], shape[2:], manifest) as writer:
        for batch in batches:
            for image in batch[:, 0]:
                writer.add({target: image}, **next(rows))
        if len(writer.rows) != len(store.ids):
            raise UserError(f"returned {len(writer.rows)} images for {len(store.ids)} slices", "translate")
