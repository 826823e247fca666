"""The control that ignores its input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.plugins import Control, Run, TrainData

if TYPE_CHECKING:
    import numpy as np


class MeanImage(Control):
    """Returns the mean of the target's training slices: what squared error rewards when nothing is known."""

    mean: np.ndarray

    def fit(self, train: TrainData, run: Run) -> None:
        """Average the target's training slices, in double precision."""
        import numpy as np

        self.mean = np.mean(train.target, axis=0, dtype=np.float64).astype(np.float32)

    def save(self, directory: Path) -> None:
        """Write ``mean.npy``, float32 [1, H, W]."""
        import numpy as np

        np.save(directory / "mean.npy", self.mean, allow_pickle=False)

    def load(self, directory: Path, run: Run) -> None:
        """Read ``mean.npy``."""
        import numpy as np

        self.mean = np.load(directory / "mean.npy", allow_pickle=False)

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The mean image, once per source slice."""
        import numpy as np

        return np.broadcast_to(self.mean, source.shape)
