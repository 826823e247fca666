"""Translating batch by batch, behind the wall: sources in, images out, a generator for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmodbench.plugins import Control, Method, Run
from xmodbench.plugins.contract import checked_images, checked_names
from xmodbench.seeding import ImageGenerator
from xmodbench.stages.wall.staging import Volumes, opened

if TYPE_CHECKING:
    from collections.abc import Sequence


Batches = Iterator[tuple[slice | list[int], dict[str, np.ndarray]]]
"""Which rows, and their images by name."""


def translate_into(method: Method, arguments: dict[str, Any], run: Run) -> list[str]:
    """Translate staged slices and write ``<out>/<name>.npy`` [N,1,H,W], a file for the images and each intermediate.

    Args:
        method: loaded.
        arguments: ``source`` and, for a control, ``target`` (files of [N,H,W] or [N,C,H,W] arrays), ``subjects`` and
            ``seed``; ``seeds``, a number for each slice; ``batch_size``; ``name`` of the images; ``out``; for a method that
            is handed volumes ``stacks``, the rows of each, of which there are as many as seeds.

    Returns:
        The names of the images on the way.

    Raises:
        UserError: images that break the contract.
    """
    names = checked_names(method.intermediates())
    sources = opened(arguments["source"])
    if isinstance(method, Control):
        targets = opened(arguments["target"])
        answer = method.answer(sources, targets, arguments["subjects"], arguments["seed"])
        batches: Batches = iter([(slice(None), _with_intermediates(method, answer, arguments["name"], sources))])
    elif arguments.get("stacks"):
        batches = _volumes(method, sources, arguments["stacks"], arguments["seeds"], run, arguments["name"])
    else:
        batches = _batches(method, sources, arguments["seeds"], run, arguments["batch_size"], arguments["name"])
    files = {}
    for rows, batch in batches:
        for name, images in batch.items():
            if name not in files:
                path, shape = Path(arguments["out"]) / f"{name}.npy", (len(sources), 1, *sources.shape[2:])
                files[name] = np.lib.format.open_memmap(path, "w+", np.float32, shape)
            files[name][rows] = images
    for file in files.values():
        file.flush()
    return names


def _batches(method: Method, sources: np.ndarray, seeds: Sequence[int], run: Run, size: int, name: str) -> Batches:
    starts = range(0, len(seeds), size)
    for start in run.progress.track(starts, "translate", total=len(starts)):
        part = slice(start, start + size)
        images = method.translate(np.ascontiguousarray(sources[part]), [ImageGenerator(seed) for seed in seeds[part]])
        yield part, _with_intermediates(method, images, name, sources[part])


def _volumes(
    method: Method, sources: np.ndarray, stacks: list[list[int]], seeds: Sequence[int], run: Run, name: str
) -> Batches:
    """One volume after the other; its images as slices, with their rows."""
    pairs = list(zip(stacks, seeds, strict=True))
    for rows, seed in run.progress.track(pairs, "translate", total=len(pairs)):
        volume = Volumes(sources, [rows])[0][None]
        found = _with_intermediates(method, method.translate(volume, [ImageGenerator(seed)]), name, volume)
        yield rows, {key: images[0].swapaxes(0, 1) for key, images in found.items()}


def _with_intermediates(method: Method, images: np.ndarray, name: str, sources: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of a batch by name, each checked."""
    found = {name: images, **{other: method.intermediate_images[other] for other in method.intermediates()}}
    shape = (len(sources), 1, *sources.shape[2:])
    return {name: checked_images(value, shape) for name, value in found.items()}
