"""EGSDE's sampler (Zhao et al. 2022, VP form): SDEdit's chain, pulled at each step down the gradients of energies.

An energy compares the noisy image with the source noised to the same time, always with the noise that the chain began with.
Both stay in the diffusion's own range, which in the published runs is [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .lowpass import Kernel, coarse, coarse_transposed
from .model import DiffusionModel, unconditional
from .samplers import Noise, denoiser, grid_of, sample_ancestral, start_of

Gradient = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Of an energy with respect to its first argument: noisy images, the noised source [B, 1, H, W] and their time."""


def faithful_gradient(factor: int, kernel: Kernel) -> Gradient:
    """Of the faithful expert E_i: the squared distance of both images' coarse parts, ``2 L'L (x - noised)``."""

    def gradient(x: torch.Tensor, noised: torch.Tensor, t: int) -> torch.Tensor:
        return 2 * coarse_transposed(coarse(x - noised, factor, kernel), factor, kernel)

    return gradient


def step_weight(beta: float) -> float:
    """``w_t = beta_t / sqrt(alpha_t)``, what a step multiplies the gradients with besides their lambda."""
    return beta / (1 - beta) ** 0.5


@torch.inference_mode()
def sample_egsde(
    model: DiffusionModel, noise: Noise, source: torch.Tensor, experts: Sequence[tuple[float, Gradient]]
) -> torch.Tensor:
    """Translations [B, 1, H, W] in [0, 1] of `source`, the same.

    Args:
        model: unconditional, of a VP process. Of its settings count ``start``, ``repeats`` (each pass begins with the last
            one's result, but is compared with the source), ``sampling_steps``, ``spacing``, ``variance``, ``final_noise``.
        noise: see `xmodbench.learning.diffusion.samplers.image_noise`.
        experts: each energy's lambda and gradient; without any this is SDEdit's chain, bit for bit.
    """
    settings, process = model.settings, model.process
    grid = grid_of(settings, process, start_of(settings))
    felt = [(strength, gradient) for strength, gradient in experts if strength]
    found, reference = source, model.inside(source)
    for _ in range(settings.repeats):
        first = noise()

        def noised(images: torch.Tensor, t: int, first: torch.Tensor = first) -> torch.Tensor:
            return process.diffuse(images, torch.full((len(images),), t, device=images.device), first)

        def pull(x: torch.Tensor, t: int, beta: float, noised=noised) -> torch.Tensor:
            beside = noised(reference, t)
            pulls = [strength * gradient(x, beside, t) for strength, gradient in felt]
            return step_weight(beta) * torch.stack(pulls).sum(0)

        x = sample_ancestral(
            denoiser(model, unconditional),
            process,
            grid,
            noised(model.inside(found), grid[0]),
            noise=noise,
            variance=settings.variance,
            final_noise=settings.final_noise,
            pull=pull if felt else None,
        )
        found = model.outside(x)
    return found.clamp(0, 1)
