"""The small slices that a method under check is handed, in the shape that it declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.plugins.check import N_TEST, N_TRAIN, phantom
from xmodbench.plugins.shape import Shape
from xmodbench.seeding import derive_seed
from xmodbench.stages.wall.staging import beside, write_channels

SEED = 3
SUBJECTS = ["a", "a", "b", "b", "c"]
TRAIN_STACKS, TEST_STACKS = [[0, 1, 2], [3, 4, 5, 6, 7]], [[0, 1], [2, 3], [4]]
"""Rows of each subject's slices."""
INORDER, OTHERS = list(range(N_TEST)), [4, 2, 0, 1, 3]


@dataclass(frozen=True)
class Way:
    """How the test slices are translated: their order, the batch size, the seed of their generators.

    ``own_seeds``: what the method seeds by itself gets another seed.
    """

    order: Sequence[int]
    size: int = N_TEST
    seed: int = SEED
    own_seeds: bool = False


WAYS = [Way(INORDER), Way(INORDER), Way(INORDER, 1), Way(OTHERS)]
RESEEDED, BY_ITSELF = Way(INORDER, seed=SEED + 1), Way(INORDER, own_seeds=True)


@dataclass(frozen=True)
class Handing:
    """Hands phantoms to a method that declares a shape."""

    shape: Shape

    @property
    def ways(self) -> list[Way]:
        """As `WAYS`; volumes come one at a time, in two orders."""
        return [WAYS[0], WAYS[1], WAYS[3]] if self.shape.volumes else WAYS

    @property
    def sources(self) -> int:
        """One source more than it has to take, if it can."""
        return min(self.shape.sources[0] + 1, self.shape.sources[1])

    def train(self, folder: Path, draws_source: bool, rows: list[int] | None) -> dict[str, Any]:
        """Write training slices; what the task is told of them.

        Args:
            draws_source: whether it is handed a source.
            rows: of the source's slices, all of them if None.
        """
        table = beside(TRAIN_STACKS, self.shape.neighbours)
        target = phantom(N_TRAIN, 1)[:, 0]
        found = {
            "target": _write(folder / "t1.npy", [target], table if not draws_source else _alone(N_TRAIN)),
            "source": None,
            "stacks": TRAIN_STACKS if self.shape.volumes else None,
        }
        if draws_source:
            arrays = _sources(N_TRAIN, 1, self.sources)
            found["source"] = _write(folder / "pd.npy", arrays, table if rows is None else table[rows])
        return found

    def test(self, folder: Path, number: int, way: Way) -> dict[str, Any]:
        """Write the test slices for a way; what the task is told of them, the generators' seeds included."""
        arrays, table = _sources(N_TEST, 2, self.sources), beside(TEST_STACKS, self.shape.neighbours)
        order = list(way.order)
        found: dict[str, Any] = {"source": _write(folder / f"pd{number}.npy", arrays, table[order])}
        names = [f"image{index}" for index in order]
        if self.shape.volumes:
            place = {row: at for at, row in enumerate(order)}
            volumes = [[place[row] for row in stack] for stack in TEST_STACKS]
            found["stacks"] = sorted(volumes, key=min)
            names = [names[stack[0]] for stack in found["stacks"]]
        found |= {"batch_size": way.size, "own_seeds": way.own_seeds}
        return {**found, "seeds": [derive_seed(way.seed, "image", name) for name in names]}


def _sources(count: int, seed: int, sources: int) -> list[np.ndarray]:
    """Slices [N,H,W] of each source: the same bodies in other contrasts."""
    images = phantom(count, seed, invert=True)[:, 0]
    return [images ** np.float32(1 + number) for number in range(sources)]


def _alone(count: int) -> np.ndarray:
    return np.arange(count)[:, None]


def _write(path: Path, arrays: list[np.ndarray], table: np.ndarray) -> str:
    """Put slices where a process may read them, as jobs do; the file."""
    if len(arrays) == 1 and table.shape[1] == 1:
        np.save(path, arrays[0][table[:, 0]], allow_pickle=False)
    else:
        write_channels(path, arrays, table)
    return str(path)
