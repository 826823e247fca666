"""The control that knows the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmodbench.plugins import Control

if TYPE_CHECKING:
    import numpy as np


class Oracle(Control):
    """Returns the true target: no method may score better, whatever the metric's definition."""

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The target itself."""
        return target
