"""MIDiffusion: zero-shot translation by diffusion guided by local mutual information (Wang et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.plugins import Run, TrainData

from .settings import MidiffusionSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise
    from xmodbench.seeding import ImageGenerator

    from .watch import Watch


class MIDiffusion(DiffusionMethod):
    """Denoises from pure noise to a target slice; every step sees the LMI of source and current image."""

    Config = MidiffusionSettings
    translation_settings = MidiffusionSettings.SAMPLING
    watch: Watch | None = None

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices: the clean slice stands in for the source."""
        from .guidance import TrainingGuide, note_path, planes

        settings = self.settings.resolved()
        run.use_threads()
        note_path(settings, settings.normalise_train, run)
        self.train_model(
            train,
            run,
            inputs=1 + planes(settings.channels),
            channels_of=lambda model: TrainingGuide(model, train.target, run.progress),
        )

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; the options of sampling are this method's own."""
        from .guidance import note_path

        super().load(directory, run)
        note_path(self.model.settings, self.model.settings.normalise_sample, run)

    def intermediates(self) -> tuple[str, ...]:
        """Noisy images and LMI maps of ``keep_steps`` steps."""
        return tuple(f"{kind}_{step}" for step in self._watched_steps() for kind in ("noisy", "lmi"))

    def _watched_steps(self) -> tuple[int, ...]:
        settings = self.model.settings
        if (
            not self.settings.keep_steps
            or settings.augment_test
            or settings.samples > 1
            or "cross" not in settings.channels
        ):
            return ()
        from .watch import watched_steps

        return watched_steps(self.settings.keep_steps, settings.sampling_steps)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]; leaves the intermediates."""
        if steps := self._watched_steps():
            from .watch import Watch

            self.watch = Watch(self.model.settings, steps)
        found = super().translate(source, generators)
        if self.watch is not None:
            self.intermediate_images, self.watch = self.watch.images(), None
        return found

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images drawn from pure noise, guided by the sources `images` [B, 1, H, W]."""
        from xmodbench.learning.diffusion.samplers import sample

        from .guidance import SourceGuide

        condition = SourceGuide(model, images)
        return sample(model, self.watch.watched(condition) if self.watch else condition, noise)

    @classmethod
    def compile_kernels(cls) -> None:
        """Compile the LMI for CPUs, which takes longer than all of a short translation."""
        from .lmi_cpu import compile_kernels

        compile_kernels()
