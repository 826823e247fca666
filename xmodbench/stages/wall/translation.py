"""Translating batch by batch, behind the wall: sources in, images out, a generator for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmodbench.plugins import Control, Method, Run
from xmodbench.plugins.contract import checked_images, checked_names
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence


def translate_into(method: Method, arguments: dict[str, Any], run: Run) -> list[str]:
    """Translate staged slices and write ``<out>/<name>.npy`` [N,1,H,W], a file for the images and each intermediate.

    Args:
        method: loaded.
        arguments: ``source`` and, for a control, ``target`` (files of [N,H,W] arrays), ``subjects`` and ``seed``; ``seeds``,
            a number for each slice; ``batch_size``; ``name`` of the images; ``out``.

    Returns:
        The names of the images on the way.

    Raises:
        UserError: images that break the contract.
    """
    names = checked_names(method.intermediates())
    sources = np.load(arguments["source"], mmap_mode="r", allow_pickle=False)[:, None]
    if isinstance(method, Control):
        targets = np.load(arguments["target"], mmap_mode="r", allow_pickle=False)[:, None]
        answer = method.answer(sources, targets, arguments["subjects"], arguments["seed"])
        batches = iter([_with_intermediates(method, answer, arguments["name"], sources)])
    else:
        batches = _batches(method, sources, arguments["seeds"], run, arguments["batch_size"], arguments["name"])
    files, done = {}, 0
    for batch in batches:
        for name, images in batch.items():
            if name not in files:
                path = Path(arguments["out"]) / f"{name}.npy"
                files[name] = np.lib.format.open_memmap(path, "w+", np.float32, sources.shape)
            files[name][done : done + len(images)] = images
        done += len(images)
    for file in files.values():
        file.flush()
    return names


def _batches(
    method: Method, sources: np.ndarray, seeds: Sequence[int], run: Run, size: int, name: str
) -> Iterator[dict[str, np.ndarray]]:
    starts = range(0, len(seeds), size)
    for start in run.progress.track(starts, "translate", total=len(starts)):
        part = slice(start, start + size)
        images = method.translate(np.ascontiguousarray(sources[part]), [ImageGenerator(seed) for seed in seeds[part]])
        yield _with_intermediates(method, images, name, sources[part])


def _with_intermediates(method: Method, images: np.ndarray, name: str, sources: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of a batch by name, each checked."""
    found = {name: images, **{other: method.intermediate_images[other] for other in method.intermediates()}}
    return {name: checked_images(value, sources.shape) for name, value in found.items()}
