"""MIDiffusion: zero-shot translation by diffusion guided by local mutual information (Wang et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.plugins import Run, TrainData

from .settings import MidiffusionSettings

if TYPE_CHECKING:
    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise


class MIDiffusion(DiffusionMethod):
    """Denoises from pure noise to a target slice; every step sees the LMI of source and current image."""

    Config = MidiffusionSettings
    translation_settings = MidiffusionSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices: the clean slice stands in for the source."""
        from .guidance import TrainingGuide, note_path

        settings = self.settings.resolved()
        run.use_threads()
        note_path(settings, settings.normalise_train, run)
        self.train_model(
            train,
            run,
            inputs=1 + len(settings.channels),
            channels_of=lambda model: TrainingGuide(model, train.target, run.progress),
        )

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; the options of sampling are this method's own."""
        from .guidance import note_path

        super().load(directory, run)
        note_path(self.model.settings, self.model.settings.normalise_sample, run)

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images drawn from pure noise, guided by the sources `images` [B, 1, H, W]."""
        from xmodbench.learning.diffusion.samplers import sample

        from .guidance import SourceGuide

        return sample(model, SourceGuide(model, images), noise)

    @classmethod
    def compile_kernels(cls) -> None:
        """Compile the LMI for CPUs, which takes longer than all of a short translation."""
        from .lmi_cpu import compile_kernels

        compile_kernels()
