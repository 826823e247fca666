"""Samplers: from noise at time ``times[0]`` to an image, one short function each, named after its algorithm.

All take ``denoise(x, t) -> (clean, eps)``, which evaluates the network once (its condition on the noisy image included), on
the scale the network was trained with; and ``noise()``, which draws a fresh ``N(0, I)`` of the batch's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from xmodbench.seeding import ImageGenerator

from .model import Condition, DiffusionModel
from .schedules import Process

Denoise = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
Noise = Callable[[], torch.Tensor]


def times(length: int, steps: int, start: int | None = None) -> list[int]:
    """The times visited by `steps` steps over all of ``length-1 .. 0``, of them those below `start`, descending.

    Spaced from the top ("trailing"), so that the first is ``length - 1``.
    """
    grid = np.round(np.arange(length, 0, -length / steps)).astype(int) - 1
    return [int(t) for t in grid if start is None or t < start] or [0]


def image_noise(generators: Sequence[ImageGenerator], size: tuple[int, int], device: str) -> Noise:
    """Noise [B, 1, H, W] in which every image has its own stream, the same on any device."""

    def draw() -> torch.Tensor:
        return torch.stack([torch.randn((1, *size), generator=one.torch) for one in generators]).to(device)

    return draw


def denoiser(model: DiffusionModel, condition: Condition) -> Denoise:
    """One evaluation of `model`; `condition` sees the noisy image in the units of the images."""
    settings, autocast = model.settings, model.settings.precision == "bf16"

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.full((len(x),), t, dtype=torch.int64, device=x.device)
        extra = condition(model.outside(x))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            answer = model.answer(x, t, extra).float()
        clean, eps = model.process.clean_and_eps(settings.prediction, answer, x, t)
        if settings.clip_x0:
            clean = clean.clamp(0 if settings.data_range == "0,1" else -1, 1)
            eps = model.process.clean_and_eps("x0", clean, x, t)[1]
        return clean, eps

    return denoise


@torch.inference_mode()
def sample(
    model: DiffusionModel,
    condition: Condition,
    noise: Noise,
    guide: torch.Tensor | None = None,
    start: int | None = None,
) -> torch.Tensor:
    """Draw images with the sampler the model's settings name.

    Args:
        model: a trained model.
        condition: its extra channels.
        noise: see `image_noise`.
        guide: images [B, 1, H, W] in [0, 1] to begin from, noised to the first time below `start`; else pure noise.

    Returns:
        images [B, 1, H, W] in [0, 1].
    """
    settings, process = model.settings, model.process
    grid = times(process.length, settings.sampling_steps, start)
    first = noise()
    t = torch.full((len(first),), grid[0], dtype=torch.int64, device=first.device)
    if guide is not None:
        x = process.diffuse(model.inside(guide), t, first)
    else:
        x = first * (float(process.noise[grid[0]]) if process.kind == "ve" else 1.0)
    return model.outside(
        SAMPLERS[settings.sampler](denoiser(model, condition), process, grid, x, noise, settings)
    ).clamp(0, 1)


def sample_ancestral(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """DDPM's ancestral sampler. ``fixedlarge`` noise is beta, but at the last step the posterior's of the one before."""
    kept = [float(process.signal[t].double() ** 2) for t in grid] + [1.0]
    for i, t in enumerate(grid):
        beta = 1 - kept[i] / kept[i + 1]
        _, eps = denoise(x, t)
        x = (x - beta / (1 - kept[i]) ** 0.5 * eps) / (1 - beta) ** 0.5
        last = i == len(grid) - 1
        if not last or settings.final_noise:
            x = x + ancestral_std(kept, i, settings.variance) * noise()
    return x


def ancestral_std(kept: Sequence[float], i: int, variance: str) -> float:
    """Noise of step `i` from signal level ``kept[i]`` (alpha-bar) to ``kept[i + 1]``."""
    last = i == len(kept) - 2
    if variance == "fixedlarge" and not last:
        return (1 - kept[i] / kept[i + 1]) ** 0.5
    if last:
        i = max(i - 1, 0)
    beta = 1 - kept[i] / kept[i + 1]
    return (beta * (1 - kept[i + 1]) / (1 - kept[i])) ** 0.5


def sample_euler_maruyama(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """Euler-Maruyama for the reverse VE equation (paper, Alg. 1): ``x + e2 score + sqrt(e2) z``."""
    sigmas = [float(process.noise[t]) for t in grid] + [0.0]
    for i, t in enumerate(grid):
        _, eps = denoise(x, t)
        step = sigmas[i] ** 2 - sigmas[i + 1] ** 2
        x = x - step / sigmas[i] * eps
        if i < len(grid) - 1 or settings.final_noise:
            x = x + step**0.5 * noise()
    return x


def sample_euler(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """Euler's method for the probability-flow equation of a VE process."""
    sigmas = [float(process.noise[t]) for t in grid] + [0.0]
    for i, t in enumerate(grid):
        clean, eps = denoise(x, t)
        x = clean + sigmas[i + 1] * eps
    return x


def sample_ddim(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """DDIM; ``eta`` 0 is deterministic."""
    from diffusers import DDIMScheduler

    # the defaults clip to [-1, 1] and start below T
    scheduler = DDIMScheduler(**_shared(settings), clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(settings.sampling_steps)
    for t in grid:
        clean, _ = denoise(x, t)
        drawn = noise() if settings.eta > 0 else None
        x = scheduler.step(clean, t, x, eta=settings.eta, variance_noise=drawn).prev_sample
    return x


def sample_dpmpp_2m(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """DPM-Solver++(2M): second order, one evaluation a step."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        **_shared(settings), algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
    )
    return _multistep(scheduler, denoise, grid, x, settings)


def sample_unipc(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """UniPC of order 2 (bh2): predictor and corrector, one evaluation a step."""
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(
        **_shared(settings), solver_order=2, solver_type="bh2", final_sigmas_type="zero"
    )
    return _multistep(scheduler, denoise, grid, x, settings)


def sample_heun(denoise: Denoise, process: Process, grid: list[int], x, noise: Noise, settings):
    """Heun's method on the noise level: second order, two evaluations a step but the last.

    The solver carries ``x / signal``; network and condition are evaluated on ``x``, as they were trained.
    """
    from diffusers import HeunDiscreteScheduler

    scheduler = HeunDiscreteScheduler(**_shared(settings), clip_sample=False)
    scheduler.set_timesteps(settings.sampling_steps)
    skip = settings.sampling_steps - len(grid)
    scheduler.set_begin_index(2 * skip)
    carried = x / float(process.signal[grid[0]])
    for t in scheduler.timesteps[2 * skip :]:
        clean, _ = denoise(scheduler.scale_model_input(carried, t), round(float(t)))
        carried = scheduler.step(clean, t, carried).prev_sample
    return carried


def _multistep(scheduler, denoise: Denoise, grid: list[int], x, settings):
    scheduler.set_timesteps(settings.sampling_steps)
    scheduler.set_begin_index(settings.sampling_steps - len(grid))
    for t in scheduler.timesteps[settings.sampling_steps - len(grid) :]:
        clean, _ = denoise(x, int(t))
        x = scheduler.step(clean, t, x).prev_sample
    return x


def _shared(settings) -> dict:
    """Settings of every diffusers scheduler: the network's answer reaches them as the clean image."""
    return {
        "num_train_timesteps": settings.timesteps,
        "beta_start": settings.beta_start,
        "beta_end": settings.beta_end,
        "beta_schedule": "linear",
        "prediction_type": "sample",
        "timestep_spacing": "trailing",
    }


SAMPLERS = {
    "ancestral": sample_ancestral,
    "ddim": sample_ddim,
    "dpmpp_2m": sample_dpmpp_2m,
    "unipc": sample_unipc,
    "heun": sample_heun,
    "euler_maruyama": sample_euler_maruyama,
    "euler": sample_euler,
}
