"""Regression with the networks of the diffusion plugins: one evaluation from any contrast to the target's."""

from __future__ import annotations

import numpy as np
import torch

from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining

from .contrasts import normalised, randomised


def as_seen(images: torch.Tensor) -> torch.Tensor:
    """Images [B, 1, H, W] in [0, 1], each `normalised` by itself."""
    found = [normalised(image) for image in images[:, 0].float().cpu().numpy()]
    return torch.from_numpy(np.stack(found)[:, None]).to(images)


class RandomContrasts:
    """The channel of training batches: their clean slices in random contrasts.

    Args:
        settings: resolved `ContrastRandomisedSettings`.
    """

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, batch: Batch) -> torch.Tensor:
        """[B, 1, H, W] in [0, 1]; each from the image's own seed."""
        images = batch.clean[:, 0].float().cpu().numpy()
        found = [
            randomised(image, self.settings, np.random.default_rng(seed))
            for image, seed in zip(images, batch.seeds.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(found)[:, None]).to(batch.clean)


class RegressionTraining(DiffusionTraining):
    """The network learns the slice from its random contrast; times and noise of the batches are not used."""

    name = "regression"

    def _losses(self, model: DiffusionModel, batch: Batch) -> torch.Tensor:
        """Of each image: mean absolute (or squared) error, and the same of the differences between neighbours."""
        seen, clean = self.channels(batch), model.inside(batch.clean)
        assert seen is not None
        with self.accelerator.autocast():
            error = raw(model, seen).float() - clean
        return distance(error, self.settings.loss) + self.settings.gradient_weight * sum(
            distance(error.diff(dim=axis), self.settings.loss) for axis in (-1, -2)
        )


def distance(error: torch.Tensor, loss: str) -> torch.Tensor:
    """Mean of each image's absolute (``l1``) or squared (``l2``) errors [B, ...]: [B]."""
    return (error.abs() if loss == "l1" else error**2).flatten(1).mean(1)


def raw(model: DiffusionModel, seen: torch.Tensor) -> torch.Tensor:
    """The network's answer to images [B, 1, H, W] in [0, 1], in the range used inside."""
    times = torch.zeros(len(seen), dtype=torch.int64, device=seen.device)
    return model.network(model.inside(seen), times)


@torch.inference_mode()
def regressed(model: DiffusionModel, images: torch.Tensor) -> torch.Tensor:
    """Translations of sources [B, 1, H, W], as the settings say averaged with those of their mirror images."""
    seen = as_seen(images)
    found = raw(model, seen)
    if model.settings.mirrored:
        found = (found + raw(model, seen.flip(-1)).flip(-1)) / 2
    return model.outside(found.float()).clamp(0, 1)
