"""What plugins that invert images in a trained generator answer the same way. Imports neither NumPy nor torch at its top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.plugins import Method, Run

from .settings import TRANSLATION_SETTINGS

if TYPE_CHECKING:
    import numpy as np

    from .model import Model


class InvertingMethod(Method):
    """A method that finds images in the generator of StyleGAN2-ADA, starting from what its encoder makes of them."""

    translation_settings = TRANSLATION_SETTINGS
    model: Model
    run: Run

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; options of the inversion are this object's where given."""
        from .model import Model

        self.run, self.model = run, Model.load(directory, self.settings, run)

    def intermediates(self) -> tuple[str, ...]:
        """Images after some steps of the inversion; ``after_0`` is the encoder's."""
        return tuple(f"after_{step}" for step in self.model.kept_steps())

    def inverted(self, images: np.ndarray) -> np.ndarray:
        """What the generator shows of ``images`` [N,1,H,W]; there is no randomness in it. Leaves the intermediates."""
        found, self.intermediate_images = self.model.translate(images, self.run)
        return found
