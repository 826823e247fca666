"""The ILVR sampler (Choi et al. 2021, Alg. 1)."""

from __future__ import annotations

import torch

from xmodbench.learning.diffusion.lowpass import coarse
from xmodbench.learning.diffusion.model import DiffusionModel, unconditional
from xmodbench.learning.diffusion.samplers import Noise, ancestral_std, denoiser, grid_of, kept_signal


@torch.inference_mode()
def sample_ilvr(
    model: DiffusionModel, noise: Noise, source: torch.Tensor, factor: int, stop: float, source_level: str = "after"
) -> torch.Tensor:
    """Images [B,1,H,W] in [0, 1] drawn from an unconditional model, coarse parts from `source`.

    Args:
        model: unconditional, of a VP process; its settings give the ancestral sampler's steps and noise.
        noise: see `xmodbench.learning.image_noise`.
        source: [B,1,H,W] in [0, 1].
        factor: of `coarse`.
        stop: share of the process's times, at its end, in which the source is left out.
        source_level: noise of the source: the image's ``after`` the step (paper's index) or ``before`` it (authors' code).
    """
    settings, process = model.settings, model.process
    grid = grid_of(settings, process)
    kept = kept_signal(process, grid)
    denoise, guide, x = denoiser(model, unconditional), model.inside(source), noise()
    for i, t in enumerate(grid):
        clean, _ = denoise(x, t)
        beta, after = 1 - kept[i] / kept[i + 1], kept[i + 1]
        x = (after**0.5 * beta * clean + (1 - beta) ** 0.5 * (1 - after) * x) / (1 - kept[i])
        if i == len(grid) - 1:
            break
        x = x + ancestral_std(kept, i, settings.variance) * noise()
        if grid[i + 1] >= stop * process.length:
            level = after if source_level == "after" else kept[i]
            noised = level**0.5 * guide + (1 - level) ** 0.5 * noise()
            x = x + coarse(noised, factor) - coarse(x, factor)
    return model.outside(x).clamp(0, 1)
