"""The control that copies the source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmodbench.plugins import Control


class CopySource(Control):
    """Returns the source: a metric that likes this does not measure translation."""

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The source itself."""
        return source
