"""Slices put where a method may read them: as they are, with their neighbours as channels, or to be volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.store import SliceStore

CHUNK = 64  # slices copied at once; bounds memory
GAP = 2.5
"""Slices further apart than this many of the usual steps do not lie beside each other: others were cut out between them.
Where slices are chosen by their height, steps are rounded to whole ones, which makes some twice as wide as others."""


def stacks(store: SliceStore) -> list[list[int]]:
    """Rows of the slices that lie one upon the other, each once, by position in millimetres; never of two subjects.

    A subject has one stack, unless slices were cut out of the middle of it (`GAP`).

    Raises:
        UserError: positions that are no numbers.
    """
    by_subject: dict[str, list[tuple[float, int]]] = {}
    for row, facts in enumerate(store.rows):
        try:
            by_subject.setdefault(facts["subject"], []).append((float(facts["position_mm"]), row))
        except ValueError:
            problem = f"slice {facts['id']} is at '{facts['position_mm']:.20}', which is no position"
            raise UserError(problem, store.directory / "slices.csv", "prepare the data set again") from None
    found = [stack for placed in by_subject.values() for stack in _cut(sorted(placed))]
    return sorted(found, key=min)


def _cut(placed: list[tuple[float, int]]) -> Iterator[list[int]]:
    """Rows by position, cut where there is a gap."""
    steps = [above - below for (below, _), (above, _) in pairwise(placed)]
    widest = GAP * median(steps) if steps else 0.0
    stack = [placed[0][1]]
    for step, (_, row) in zip(steps, placed[1:], strict=True):
        if step > widest:
            yield stack
            stack = []
        stack.append(row)
    yield stack


def beside(found: list[list[int]], neighbours: int) -> np.ndarray:
    """Rows [N, 2n + 1] of each slice with its n neighbours below and above; beyond an end of a stack the last is repeated.

    Args:
        found: what `stacks` answered, in which each row is once.
        neighbours: n.
    """
    table = np.empty((sum(map(len, found)), 2 * neighbours + 1), np.int64)
    for stack in found:
        for place, row in enumerate(stack):
            around = range(place - neighbours, place + neighbours + 1)
            table[row] = [stack[min(max(other, 0), len(stack) - 1)] for other in around]
    return table


def write_channels(path: Path, arrays: Sequence[np.ndarray], table: np.ndarray) -> None:
    """Write float32 [N, S K, H, W]: of each row of `table` [N, K] the slices of S arrays, one array after the other."""
    count, wide = table.shape
    size = arrays[0].shape[1:]
    file = np.lib.format.open_memmap(path, "w+", np.float32, (count, len(arrays) * wide, *size))
    for start in range(0, count, CHUNK):
        rows = table[start : start + CHUNK]
        for number, array in enumerate(arrays):
            file[start : start + CHUNK, number * wide : (number + 1) * wide] = array[rows]
    file.flush()


class Volumes(Sequence[np.ndarray]):
    """Volumes [S, D, H, W] of slices [N, S, H, W], each read when it is asked for.

    Args:
        slices: memory-mapped.
        found: the rows of each volume, from below to above.
    """

    def __init__(self, slices: np.ndarray, found: list[list[int]]):
        self.slices, self.rows = slices, found

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return np.ascontiguousarray(self.slices[self.rows[index]].swapaxes(0, 1))


def opened(path: str, found: list[list[int]] | None = None) -> Any:
    """A staged array as [N, C, H, W], read-only and memory-mapped; with the rows of volumes, `Volumes`."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    slices = array[:, None] if array.ndim == 3 else array
    return slices if found is None else Volumes(slices, found)
