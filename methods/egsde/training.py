"""Training of the domain classifier on noisy slices of both modalities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from xmodbench.devices import handed
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.training import loop
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.state import fingerprint, named, optimizer_tensors, part, restore_optimizer
from xmodbench.learning.training.weights import read_description, read_weights, save_model
from xmodbench.plugins import Run, TrainData
from xmodbench.seeding import derive_seed

from .classifier import DomainClassifier

OPTIONS = frozenset(
    f"classifier_{name}" for name in ("width", "blocks", "iterations", "batch", "rate", "weight_decay", "times")
) | {"flip", "timesteps", "beta_start", "beta_end", "data_range"}
"""Options that decide the classifier."""
SOURCE, TARGET = 0, 1
"""Classes."""


def fit_classifier(settings, model: DiffusionModel, data: TrainData, run: Run) -> tuple[DomainClassifier, LossLog]:
    """Train a classifier for the process of `model`; notes its size and accuracy in the job's record.

    Args:
        settings: resolved.
        model: whose process and range of intensities the noisy slices have.
        data: slices of target and source, unpaired.
        run: seed, device, state folder and progress.

    Raises:
        UserError, SystemExit: see `xmodbench.learning.training.loop.train`.
    """
    torch.manual_seed(derive_seed(run.seed, "classifier weights"))
    training = ClassifierTraining(settings, model, data, run)
    log = loop.train(training, run)
    run.facts.update(
        classifier_parameters=sum(p.numel() for p in training.network.parameters()),
        classifier_final={name: log.last()[name] for name in training.columns},
    )
    return training.network, log


class ClassifierTraining(loop.Training):
    """Cross entropy by AdamW, the step size falling linearly to 0; as many slices of each modality in every batch."""

    name = "domain_classifier"
    columns = ("loss", "accuracy")
    rate_option = "classifier_rate"

    def __init__(self, settings, model: DiffusionModel, data: TrainData, run: Run):
        assert data.source is not None
        s = self.settings = settings
        self.model, self.job, self.sides = model, run, (data.source, data.target)
        self.steps = s.classifier_iterations
        self.network = DomainClassifier(s.classifier_width, s.classifier_blocks, min(data.target.shape[2:]))
        self.network.to(run.device).train()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=s.classifier_rate, weight_decay=s.classifier_weight_decay
        )
        self.fingerprint = fingerprint(s, self.sides, run.seed, "classifier", fields=OPTIONS)

    def step(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One update; mean cross entropy and share of the batch that was told right."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        x, t, domain = self.batch(step)
        logits = self.network(x, t)
        loss = functional.cross_entropy(logits, domain)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss, (logits.argmax(1) == domain).float().mean()

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noisy slices [B, 1, H, W], their times and their classes [B]: a function of the seed and `step` alone."""
        s, rng = self.settings, torch.Generator().manual_seed(derive_seed(self.job.seed, "classifier step", step))
        domain = torch.arange(s.classifier_batch) % 2
        clean = []
        for one in domain.tolist():
            images = self.sides[one]
            row = int(torch.randint(len(images), (), generator=rng))
            image = torch.from_numpy(np.array(images[row]))
            clean.append(image.flip(-1) if torch.rand((), generator=rng) < s.flip else image)
        times = max(1, round(s.classifier_times * s.timesteps))
        t = torch.randint(0, times, (len(domain),), generator=rng)
        images = torch.stack(clean)
        eps = torch.randn(images.shape, generator=rng)
        images, t, domain, eps = (handed(part, self.job.device) for part in (images, t, domain, eps))
        return self.model.process.diffuse(self.model.inside(images), t, eps), t, domain

    def learning_rate(self, step: int) -> float:
        """AdamW's step size in `step`."""
        return self.settings.classifier_rate * (1 - step / self.steps)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights and the optimiser's moments."""
        return {
            **named("network", self.network.state_dict()),
            **named("optimizer", optimizer_tensors(self.optimizer)),
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        self.network.load_state_dict(part("network", tensors))
        restore_optimizer(self.optimizer, part("optimizer", tensors))

    def finish(self) -> None:
        """Evaluation mode."""
        self.network.eval()


def save_classifier(network: DomainClassifier, directory: Path, settings) -> None:
    """Write weights and what the network is made of into a new folder."""
    directory.mkdir()
    made_of = {"width": settings.classifier_width, "blocks": settings.classifier_blocks, "side": network.side}
    save_model(directory, network.state_dict(), {"settings": made_of})


def load_classifier(directory: Path, run: Run) -> DomainClassifier:
    """Read what `save_classifier` wrote; UserError where it is missing or damaged."""
    network = DomainClassifier(**read_description(directory)["settings"])
    network.load_state_dict(read_weights(directory, network.state_dict()))
    return network.to(run.device).eval().requires_grad_(False)
