"""Snapshots in training: a few training slices translated by the present averaged weights, in few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from xmodbench.seeding import ImageGenerator

from .model import DiffusionModel
from .samplers import Noise, image_noise

Translate = Callable[[DiffusionModel, torch.Tensor, Noise], torch.Tensor]
"""Translate sources [B, 1, H, W] with a model and a stream of noise."""
SLICES, STEPS = 3, 5


def snapshot(
    model: DiffusionModel, weights: list[torch.Tensor], images: np.ndarray, translate: Translate, seed: int
) -> np.ndarray:
    """Training slices above what the method makes of them: float ``[2, SLICES, H, W]`` in [0, 1].

    Slices and noise are always the same, so that snapshots can be compared; the training goes on as if there were none.

    Args:
        model: being trained.
        weights: to use in place of its network's.
        images: training slices ``[N, 1, H, W]`` in [0, 1].
        translate: what the method does with sources.
        seed: of the run.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, SLICES + 2).round().astype(int)[1:-1])
    shown = torch.from_numpy(np.stack([images[row] for row in rows])).to(weights[0].device)
    generators = [ImageGenerator.of(seed, f"snapshot {row}") for row in rows]
    with lent(model, weights):
        noise = image_noise(generators, images.shape[2:], str(shown.device))
        found = translate(replace(model, settings=quick(model.settings)), shown, noise)
    return torch.stack([shown[:, 0], found[:, 0]]).float().cpu().numpy()


def quick(settings):
    """Resolved settings with a deterministic sampler of about `STEPS` steps."""
    steps = next(n for n in range(min(STEPS, settings.timesteps), 0, -1) if settings.timesteps % n == 0)
    sampler = "ddim" if settings.process == "vp" else "euler"
    return settings.model_copy(update={"sampler": sampler, "sampling_steps": steps, "spacing": "uniform", "eta": 0.0})


@contextmanager
def lent(model: DiffusionModel, weights: list[torch.Tensor]) -> Iterator[None]:
    """Within the block the network has other weights and is in evaluation mode; afterwards its own bits are back."""
    parameters = list(model.network.parameters())
    own = [parameter.detach().clone() for parameter in parameters]
    _put(weights, parameters)
    model.network.eval()
    try:
        yield
    finally:
        _put(own, parameters)
        model.network.train()


@torch.no_grad()
def _put(values: Sequence[torch.Tensor], parameters: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
