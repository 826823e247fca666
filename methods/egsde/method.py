"""EGSDE: SDEdit's chain, pulled away from the source's domain and towards its coarse structure (Zhao et al. 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.plugins import FewShot, Run, TrainData, TwoPhase

from .settings import PRETRAINING, EgsdeSettings

if TYPE_CHECKING:
    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise

    from .classifier import DomainClassifier

CLASSIFIER = "classifier"
"""Folder of the domain classifier, within the model's."""


class EGSDE(TwoPhase, FewShot, DiffusionMethod):
    """An unconditional model of the target, and a classifier that has seen source slices."""

    Config = EgsdeSettings
    translation_settings = EgsdeSettings.SAMPLING
    pretraining_settings = PRETRAINING
    classifier: DomainClassifier | None = None

    def source_slices(self, available: int) -> int:
        """The stated share or number of the source slices there are."""
        return self.settings.source_slices(available)

    def pretrain(self, train: TrainData, run: Run) -> None:
        """Train SDEdit's model: on target slices alone."""
        self.train_model(train, run)

    def save_pretrained(self, directory: Path) -> None:
        """Weights, resolved settings and the loss of training."""
        DiffusionMethod.save(self, directory)

    def load_pretrained(self, directory: Path, run: Run) -> None:
        """Read what `save_pretrained` wrote, and the loss that belongs to it."""
        from xmodbench.learning.training.log import LossLog

        DiffusionMethod.load(self, directory, run)
        self.log = LossLog.load(directory)

    def fit_pretrained(self, train: TrainData, run: Run) -> None:
        """Train the classifier on noisy slices of both modalities."""
        from .training import fit_classifier

        run.use_threads()
        settings = self.settings.resolved()
        self.classifier, self.classifier_log = fit_classifier(settings, self.model, train, run)

    def save(self, directory: Path) -> None:
        """The diffusion model, and the classifier in a folder of its own; each with its losses."""
        from .training import save_classifier

        assert self.classifier is not None
        self.save_pretrained(directory)
        save_classifier(self.classifier, directory / CLASSIFIER, self.settings.resolved())
        self.classifier_log.save(directory / CLASSIFIER)

    def load(self, directory: Path, run: Run) -> None:
        """Read both; the options of sampling are this method's own."""
        from .training import load_classifier

        DiffusionMethod.load(self, directory, run)
        self.classifier = load_classifier(directory / CLASSIFIER, run)

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translations of sources [B, 1, H, W] in [0, 1]; before there is a classifier, without what it adds."""
        from xmodbench.learning.diffusion.egsde import faithful_gradient, sample_egsde

        s = model.settings
        experts = [(s.lambda_i, faithful_gradient(s.factor, s.kernel))]
        if self.classifier is not None:
            from .classifier import realistic_gradient

            experts.append((s.lambda_s, realistic_gradient(self.classifier)))
        return sample_egsde(model, noise, images, experts)
