"""The control that knows the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmodbench.plugins import Control


class Oracle(Control):
    """Returns the true target: no method may score better, whatever the metric's definition."""

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The target itself."""
        return target
