"""The control that inverts the true target: what the generator of StyleGAN2-ADA inversion could show at best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmodbench.learning.stylegan2.method import InvertingMethod
from xmodbench.learning.stylegan2.settings import InversionSettings
from xmodbench.plugins import Control

if TYPE_CHECKING:
    import numpy as np


class StyleganReconstruction(InvertingMethod, Control):
    """Inverts the true target slice with the same model: errors are the generator's, not those of the modality gap."""

    Config = InversionSettings
    model_plugin = "stylegan2_inversion"

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The inversion of ``target`` [N,1,H,W]."""
        return self.inverted(target)
