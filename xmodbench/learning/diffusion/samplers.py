"""Samplers: from noise at time ``times[0]`` to an image, one short function each, named after its algorithm.

All take ``denoise(x, t) -> (clean, eps)``, which evaluates the network once (its condition on the noisy image included) on
the scale the network was trained with; the noise process; the times to visit, descending; and the noisy images [B, 1, H, W]
at the first of them. They return the images at time 0, on the same scale, not clipped. By keyword, those that need it take:

noise: draws a fresh ``N(0, I)`` of the batch's shape at each call.
steps: how many times the whole process is divided into, of which `grid` are the last ones (DDIM, whose step ends there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from typing import Any

import torch

from xmodbench.learning.image_noise import Noise as Noise  # handed on with the samplers
from xmodbench.learning.image_noise import image_noise as image_noise

from .model import Condition, DiffusionModel
from .schedules import Process

Denoise = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
Sampler = Callable[[Denoise, Process, list[int], torch.Tensor], torch.Tensor]
Pull = Callable[[torch.Tensor, int, float], torch.Tensor]
"""What moves the mean of a step: of the noisy images [B, 1, H, W], their time and the step's beta."""


def times(length: int, steps: int, start: int | None = None) -> list[int]:
    """The times visited by `steps` steps over all of ``length-1 .. 0``, of them those below `start`, descending.

    Spaced from the top ("trailing"), so that the first is ``length - 1``; in whole numbers, since a step of floating-point
    numbers gives one time too many for some counts, -1, which would be the noisiest.

    Args:
        length: of the process.
        steps: 1 to `length`; so many times are visited where `start` leaves none out.
        start: see above; where no time is below it, the last one is visited.
    """
    grid = [round(Fraction(length * (steps - i), steps)) - 1 for i in range(steps)]
    return [t for t in grid if start is None or t < start] or [0]


def karras_times(process: Process, steps: int, start: int | None = None, rho: float = 7.0) -> list[int]:
    """As `times`, but with noise levels spaced as by Karras et al. (2022), Eq. 5, rounded to the times there are.

    Levels are ``noise / signal``; their ``rho``-th roots are evenly spaced from the last time's to the first's. Times that
    fall together are visited once, so that there may be fewer than `steps`.
    """
    levels = (process.noise.double() / process.signal.double()).log()
    ends = (levels[[-1, 0]] / rho).exp()
    wanted = rho * torch.linspace(float(ends[0]), float(ends[1]), steps, dtype=torch.float64).log()
    nearest = (wanted[:, None] - levels).abs().argmin(1).tolist()
    grid = sorted(set(nearest), reverse=True)
    return [t for t in grid if start is None or t < start] or [0]


def grid_of(settings: Any, process: Process, start: int | None = None) -> list[int]:
    """The times that resolved settings ask a sampler to visit: `times` or `karras_times`."""
    if settings.spacing == "karras":
        return karras_times(process, settings.sampling_steps, start)
    return times(process.length, settings.sampling_steps, start)


def start_of(settings: Any) -> int:
    """The time below which sampling begins that is to start from an image, by the settings' share ``start``; at least 1."""
    return max(1, round(settings.start * settings.timesteps))


def kept_signal(process: Process, grid: Sequence[int]) -> list[float]:
    """Signal levels (alpha-bar) at the times of a grid, and the clean image's, 1, behind them."""
    return [float(process.signal[t].double() ** 2) for t in grid] + [1.0]


def denoiser(model: DiffusionModel, condition: Condition) -> Denoise:
    """One evaluation of `model`; `condition` sees the noisy image in the units of the images."""
    settings, places = model.settings, model.evaluations
    autocast = settings.precision == "bf16" and settings.weights == "fp32"

    def evaluate(x: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        extra = condition(model.outside(x))
        with torch.autocast(x.device.type, torch.bfloat16) if autocast else nullcontext():
            answer = model.answer(x, at, extra).float()
        clean, eps = model.process.clean_and_eps(settings.prediction, answer, x, at)
        if settings.clip_x0:
            clean = clean.clamp(0 if settings.data_range == "0,1" else -1, 1)
            eps = model.process.clean_and_eps("x0", clean, x, at)[1]
        return clean, eps

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        if places is not None:
            return places(evaluate, condition, x, t)
        return evaluate(x, torch.full((len(x),), t, dtype=torch.int64, device=x.device))

    return denoise


@torch.inference_mode()
def sample(
    model: DiffusionModel,
    condition: Condition,
    noise: Noise,
    guide: torch.Tensor | None = None,
    start: int | None = None,
    clip: bool = True,
) -> torch.Tensor:
    """Draw images with the sampler the model's settings name.

    Args:
        model: a trained model.
        condition: its extra channels.
        noise: see `image_noise`.
        guide: images [B, 1, H, W] (intensities 0 to 1) to begin from, noised to the first time below `start`; else noise.
        clip: the result to [0, 1].

    Returns:
        images [B, 1, H, W].
    """
    settings, process = model.settings, model.process
    grid = grid_of(settings, process, start)
    first = noise()
    t = torch.full((len(first),), grid[0], dtype=torch.int64, device=first.device)
    if guide is not None:
        x = process.diffuse(model.inside(guide), t, first)
    else:
        x = first * (float(process.noise[grid[0]]) if process.kind == "ve" else 1.0)
    solve = sampler_of(settings, noise)
    found = model.outside(solve(denoiser(model, condition), process, grid, x))
    return found.clamp(0, 1) if clip else found


def sampler_of(settings: Any, noise: Noise) -> Sampler:
    """The sampler that resolved settings name, with the options of it that they hold."""
    samplers: dict[str, Sampler] = {
        "ancestral": partial(
            sample_ancestral, noise=noise, variance=settings.variance, final_noise=settings.final_noise
        ),
        "ddim": partial(sample_ddim, steps=settings.sampling_steps, noise=noise, eta=settings.eta),
        "dpmpp_2m": sample_dpmpp_2m,
        "unipc": sample_unipc,
        "heun": sample_heun,
        "euler_maruyama": partial(sample_euler_maruyama, noise=noise, final_noise=settings.final_noise),
        "euler": sample_euler,
    }
    return samplers[settings.sampler]


def sample_ancestral(
    denoise: Denoise,
    process: Process,
    grid: list[int],
    x: torch.Tensor,
    *,
    noise: Noise,
    variance: str = "fixedlarge",
    final_noise: bool = False,
    pull: Pull | None = None,
) -> torch.Tensor:
    """DDPM's ancestral sampler (Ho et al. 2020, Alg. 2).

    Args:
        variance: of the noise of a step: see `ancestral_std`.
        final_noise: add noise after the last step too.
        pull: what is subtracted from the mean of each step.
    """
    kept = kept_signal(process, grid)
    for i, t in enumerate(grid):
        beta = 1 - kept[i] / kept[i + 1]
        _, eps = denoise(x, t)
        mean = (x - beta / (1 - kept[i]) ** 0.5 * eps) / (1 - beta) ** 0.5
        x = mean if pull is None else mean - pull(x, t, beta)
        last = i == len(grid) - 1
        if not last or final_noise:
            x = x + ancestral_std(kept, i, variance) * noise()
    return x


def ancestral_std(kept: Sequence[float], i: int, variance: str) -> float:
    """Noise of step `i` from signal level ``kept[i]`` (alpha-bar) to ``kept[i + 1]``, as in DDPM's and SDEdit's code.

    `variance`: ``fixedlarge`` is the step's beta, but at the last step the posterior's of the one before; ``fixedsmall`` the
    posterior's, which is 0 at the last step and taken for 1e-20.
    """
    last = i == len(kept) - 2
    if variance == "fixedlarge" and not last:
        return (1 - kept[i] / kept[i + 1]) ** 0.5
    if variance == "fixedlarge":
        i = max(i - 1, 0)
    beta = 1 - kept[i] / kept[i + 1]
    return max(beta * (1 - kept[i + 1]) / (1 - kept[i]), 1e-20) ** 0.5


def sample_euler_maruyama(
    denoise: Denoise,
    process: Process,
    grid: list[int],
    x: torch.Tensor,
    *,
    noise: Noise,
    final_noise: bool = False,
) -> torch.Tensor:
    """Euler-Maruyama for the reverse VE equation (paper, Alg. 1): ``x + e2 score + sqrt(e2) z``.

    `final_noise`: add noise after the last step too, as Alg. 1 does.
    """
    sigmas = [float(process.noise[t]) for t in grid] + [0.0]
    for i, t in enumerate(grid):
        _, eps = denoise(x, t)
        step = sigmas[i] ** 2 - sigmas[i + 1] ** 2
        x = x - step / sigmas[i] * eps
        if i < len(grid) - 1 or final_noise:
            x = x + step**0.5 * noise()
    return x


def sample_euler(denoise: Denoise, process: Process, grid: list[int], x: torch.Tensor) -> torch.Tensor:
    """Euler's method for the probability-flow equation of a VE process."""
    sigmas = [float(process.noise[t]) for t in grid] + [0.0]
    for i, t in enumerate(grid):
        clean, eps = denoise(x, t)
        x = clean + sigmas[i + 1] * eps
    return x


def sample_ddim(
    denoise: Denoise,
    process: Process,
    grid: list[int],
    x: torch.Tensor,
    *,
    steps: int,
    noise: Noise | None = None,
    eta: float = 0.0,
) -> torch.Tensor:
    """DDIM (Song et al. 2021): ``eta`` 0 is deterministic, else it needs `noise`."""
    from diffusers import DDIMScheduler

    # the defaults clip to [-1, 1] and start below T
    scheduler = DDIMScheduler(**_shared(process), clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    for t in grid:
        clean, _ = denoise(x, t)
        drawn = noise() if noise is not None and eta > 0 else None
        x = scheduler.step(clean, t, x, eta=eta, variance_noise=drawn).prev_sample
    return x


def sample_dpmpp_2m(denoise: Denoise, process: Process, grid: list[int], x: torch.Tensor) -> torch.Tensor:
    """DPM-Solver++(2M): second order, one evaluation a step."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        **_shared(process), algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(timesteps=grid)
    return _multistep(scheduler, denoise, x)


def sample_unipc(denoise: Denoise, process: Process, grid: list[int], x: torch.Tensor) -> torch.Tensor:
    """UniPC of order 2 (bh2): predictor and corrector, one evaluation a step."""
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(**_shared(process), solver_order=2, solver_type="bh2", final_sigmas_type="zero")
    scheduler.set_timesteps(len(grid))
    scheduler.timesteps = torch.tensor(grid)  # which cannot be given
    kept = scheduler.alphas_cumprod
    scheduler.sigmas = torch.cat([((1 - kept) / kept).sqrt()[grid], torch.zeros(1)])
    return _multistep(scheduler, denoise, x)


def sample_heun(denoise: Denoise, process: Process, grid: list[int], x: torch.Tensor) -> torch.Tensor:
    """Heun's method on the noise level: second order, two evaluations a step but the last.

    The solver carries ``x / signal``; network and condition are evaluated on ``x``, as they were trained.
    """
    from diffusers import HeunDiscreteScheduler

    scheduler = HeunDiscreteScheduler(**_shared(process), clip_sample=False)
    scheduler.set_timesteps(timesteps=grid)
    scheduler.set_begin_index(0)
    carried = x / float(process.signal[grid[0]])
    for t in scheduler.timesteps:
        clean, _ = denoise(scheduler.scale_model_input(carried, t), round(float(t)))
        carried = scheduler.step(clean, t, carried).prev_sample
    return carried


def _multistep(scheduler: Any, denoise: Denoise, x: torch.Tensor) -> torch.Tensor:
    scheduler.set_begin_index(0)
    for t in scheduler.timesteps:
        clean, _ = denoise(x, int(t))
        x = scheduler.step(clean, t, x).prev_sample
    return x


def _shared(process: Process) -> dict[str, Any]:
    """Settings of every diffusers scheduler: the network's answer reaches them as the clean image."""
    return {
        "num_train_timesteps": process.length,
        "beta_start": float(process.betas[0]),
        "beta_end": float(process.betas[-1]),
        "beta_schedule": "linear",
        "prediction_type": "sample",
        "timestep_spacing": "trailing",
    }
