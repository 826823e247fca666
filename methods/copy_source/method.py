"""The control that copies the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmodbench.plugins import Control

if TYPE_CHECKING:
    import numpy as np


class CopySource(Control):
    """Returns the source: a metric that likes this does not measure translation."""

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The source itself."""
        return source
