"""translate: run a trained method over the test slices of one direction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.plugins import Control, Method, Run
from xmodbench.records import read_record, recorded
from xmodbench.seeding import ImageGenerator, derive_seed
from xmodbench.store import SliceStore, StoreWriter


@dataclass(frozen=True)
class Part:
    """The ``number``-th (from 1) of ``count`` nearly equal runs of slices."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """``"2/8"``; UserError where it says nothing."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(f"'{text}' is no part", "--part", "give K/N with K from 1 to N, such as 2/8")
        return cls(int(found[1]), int(found[2]))

    def of(self, n: int) -> slice:
        """Its slices among `n`; may be none where there are more parts than slices."""
        return slice((self.number - 1) * n // self.count, self.number * n // self.count)


def translate(
    method: Method,
    model_dir: Path,
    store_dir: Path,
    source: str,
    target: str,
    out: Path,
    run: Run,
    batch_size: int,
    part: Part = Part(),
    **facts: Any,
) -> None:
    """Translate the ``source`` slices of a store; ``out`` becomes a slice store with the modality ``target``.

    Images on the way (`Method.intermediates`) are kept in it as further arrays. Only a control sees the targets. Every
    image has its own generator, seeded from (seed, image id), so that it does not matter which part it is in.

    Raises:
        UserError: no finished model, an unusable store, or images that break the contract.
    """
    with recorded(out, "translate", source=source, target=target, **facts) as record:
        trained = read_record(model_dir)
        store = SliceStore(store_dir)
        method.load(model_dir, run)
        chosen = part.of(len(store.ids))
        if chosen.start == chosen.stop:
            problem = f"part {part.number} of {part.count} of {len(store.ids)} slices is empty"
            raise UserError(problem, store_dir, "lower translate_jobs")
        sources = store.array(source)[chosen, None]
        if isinstance(method, Control):
            targets, subjects = store.array(target)[chosen, None], store.subjects[chosen]
            seed = derive_seed(run.seed, "control", source, target)
            batches = [_with_intermediates(method, method.answer(sources, targets, subjects, seed), target, sources)]
        else:
            batches = _translated(method, sources, store.ids[chosen], run, batch_size, target)
        manifest = {"kind": "translation", "source": source, "target": target, "intermediates": method.intermediates()}
        names = [target, *method.intermediates()]
        write_translation(out, names, sources.shape[2:], manifest, store.rows[chosen], batches)
        record.update(
            run.facts,
            part=f"{part.number}/{part.count}",
            n_test=len(sources),
            seed=run.seed,
            device=run.device,
            model_sha256=trained["outputs_sha256"],
            data_sha256=store.manifest["arrays"][source]["sha256"],
            outputs_sha256=SliceStore(out).manifest["arrays"][target]["sha256"],
        )


def _translated(method: Method, sources: np.ndarray, ids: list[str], run: Run, batch_size: int, target: str):
    starts = range(0, len(ids), batch_size)
    for start in run.progress.track(starts, "translate", total=len(starts)):
        part = slice(start, start + batch_size)
        generators = [ImageGenerator.of(run.seed, image_id) for image_id in ids[part]]
        images = method.translate(np.ascontiguousarray(sources[part]), generators)
        yield _with_intermediates(method, images, target, sources[part])


def _with_intermediates(method: Method, images: np.ndarray, target: str, sources: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of a batch by name, each checked."""
    found = {target: images, **{name: method.intermediate_images[name] for name in method.intermediates()}}
    return {name: checked_images(value, sources.shape) for name, value in found.items()}


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


def write_translation(out: Path, names: list[str], shape, manifest: dict, rows: list[dict], batches) -> None:
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
