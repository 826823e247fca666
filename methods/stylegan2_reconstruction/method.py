"""The control that inverts the true target: what the generator of StyleGAN2-ADA inversion could show at best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.stylegan2.settings import TRANSLATION_SETTINGS, InversionSettings
from xmodbench.plugins import Control, Run

if TYPE_CHECKING:
    import numpy as np


class StyleganReconstruction(Control):
    """Inverts the true target slice with the same model: errors are the generator's, not those of the modality gap."""

    Config = InversionSettings
    translation_settings = TRANSLATION_SETTINGS
    model_plugin = "stylegan2_inversion"

    def load(self, directory: Path, run: Run) -> None:
        """Read a model of StyleGAN2-ADA inversion; options of the inversion are this object's where given."""
        from xmodbench.learning.stylegan2.model import Model

        self.run, self.model = run, Model.load(directory, self.settings, run)

    def intermediates(self) -> tuple[str, ...]:
        """Images after some steps of the inversion; ``after_0`` is the encoder's."""
        return tuple(f"after_{step}" for step in self.model.kept_steps())

    def answer(self, source: np.ndarray, target: np.ndarray, subjects: Sequence[str], seed: int) -> np.ndarray:
        """The inversion of ``target`` [N,1,H,W]."""
        images, self.intermediate_images = self.model.translate(target, self.run)
        return images
