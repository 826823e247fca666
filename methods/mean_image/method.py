"""The control that ignores its input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xmodbench.plugins import Control, Run, TrainData


class MeanImage(Control):
    """Returns the mean of the target's training slices: what squared error rewards when nothing is known."""

    mean: np.ndarray

    def fit(self, train: TrainData, run: Run) -> None:
        """Average the target's training slices, in double precision."""
        self.mean = np.mean(train.target, axis=0, dtype=np.float64).astype(np.float32)

    def save(self, directory: Path) -> None:
        """Write ``mean.npy``, float32 [1, H, W]."""
        np.save(directory / "mean.npy", self.mean, allow_pickle=False)

    def load(self, directory: Path, run: Run) -> None:
        """Read ``mean.npy``."""
        self.mean = np.load(directory / "mean.npy", allow_pickle=False)

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The mean image, once per source slice."""
        return np.broadcast_to(self.mean, source.shape)
