"""Regression with the networks of the diffusion plugins: one evaluation from any contrast to the target's."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining

from .contrasts import normalised, randomised

WINDOW, FLAT = 7, 0.01
"""Of local correlation: side in pixels, and the deviation of grey levels far below which they count as flat."""


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
        """Of each image: mean error, that of the differences between neighbours, and what local correlation lacks of 1."""
        s, seen, clean = self.settings, self.channels(batch), model.inside(batch.clean)
        assert seen is not None
        with self.accelerator.autocast():
            answer = raw(model, seen).float()
        error = answer - clean
        found = distance(error, s.loss)
        if s.gradient_weight:
            found = found + s.gradient_weight * sum(distance(error.diff(dim=axis), s.loss) for axis in (-1, -2))
        if s.structure_weight:
            correlation = local_correlation(model.outside(answer), batch.clean)
            found = found + s.structure_weight * (1 - correlation.flatten(1).mean(1))
        return found


def distance(error: torch.Tensor, loss: str) -> torch.Tensor:
    """Mean of each image's absolute (``l1``) or squared (``l2``) errors [B, ...]: [B]."""
    return (error.abs() if loss == "l1" else error**2).flatten(1).mean(1)


def local_correlation(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Correlation of images [B, 1, H, W] in [0, 1] around each pixel: of the same shape; 0 where either is flat."""

    def mean(images: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(images, WINDOW, 1, WINDOW // 2, count_include_pad=False)

    one, other = one - mean(one), other - mean(other)
    return mean(one * other) / ((mean(one**2) + FLAT**2) * (mean(other**2) + FLAT**2)).sqrt()


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
