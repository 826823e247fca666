"""Training-free guidance: an unconditional chain whose every step follows the gradient of an energy of the predicted image.

The energy's gradient is taken with respect to the noisy image, through the network (DPS: Chung et al. 2023; FreeDoM: Yu et
al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from .model import DiffusionModel, unconditional
from .samplers import Noise, denoiser, grid_of, kept_signal, start_of

Energy = Callable[[torch.Tensor], torch.Tensor]
"""A mean over pixels, at least 0: [B], differentiable in predicted images [B, 1, H, W] (in their own units, not clipped)."""
Rule = Literal["freedom", "dps"]


@dataclass(frozen=True)
class Guidance:
    """How the gradient is followed.

    Attributes:
        rule: ``dps``: `strength` times the gradient over the root of the energy, as a sum over pixels; ``freedom``: the
            gradient, so scaled that its root mean square is `strength` times that of the predicted noise's part in the step.
        strength: see above; 0 leaves the chain as it is.
        window: shares of the diffusion (from, to; 1 is pure noise) within which steps are guided.
        repeats: how often a step within `travel` is taken, the image being noised again in between (time travel).
        travel: shares of the diffusion, as `window`.
        eta: noise of a step: 1 is DDPM's posterior, 0 deterministic DDIM.
    """

    rule: Rule = "freedom"
    strength: float = 0.2
    window: tuple[float, float] = (0.0, 1.0)
    repeats: int = 1
    travel: tuple[float, float] = (0.0, 1.0)
    eta: float = 1.0


def sample_guided(
    model: DiffusionModel,
    noise: Noise,
    energy: Energy,
    guidance: Guidance,
    source: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images [B, 1, H, W] in [0, 1] of low energy, drawn from an unconditional model.

    Args:
        model: unconditional, of a VP process; of its settings count ``sampling_steps`` and ``spacing``.
        noise: see `xmodbench.learning.diffusion.samplers.image_noise`.
        energy: of the predicted clean image.
        guidance: see `Guidance`.
        source: images [B, 1, H, W] to begin from, noised to the time ``start`` of the settings; pure noise if left out.
    """
    settings, process = model.settings, model.process
    grid = grid_of(settings, process, None if source is None else start_of(settings))
    kept = kept_signal(process, grid)
    x = noise()
    if source is not None:
        x = process.diffuse(model.inside(source), torch.full((len(x),), grid[0], device=x.device), x)
    for i, t in enumerate(grid):
        share, now, after = (t + 1) / process.length, kept[i], kept[i + 1]
        last = i == len(grid) - 1
        guided = guidance.strength > 0 and _within(share, guidance.window)
        travels = guidance.repeats if guided and not last and _within(share, guidance.travel) else 1
        for travel in range(travels):
            x = guided_step(model, x, t, (now, after), energy if guided else None, guidance, None if last else noise)
            if travel + 1 < travels:
                x = (now / after) ** 0.5 * x + (1 - now / after) ** 0.5 * noise()
    return model.outside(x).clamp(0, 1)


def guided_step(
    model: DiffusionModel,
    x: torch.Tensor,
    t: int,
    kept: tuple[float, float],
    energy: Energy | None,
    guidance: Guidance,
    noise: Noise | None,
) -> torch.Tensor:
    """One step of DDIM from noisy images [B, 1, H, W] at time `t`, against the gradient of `energy`.

    Args:
        kept: alpha-bar now and after the step.
        noise: of the step; None for none.
    """
    now, after = kept
    clean, eps, pull = _predicted(model, x, t, energy)
    std = guidance.eta * ((1 - after) / (1 - now) * (1 - now / after)) ** 0.5
    found = after**0.5 * clean + max(1 - after - std**2, 0.0) ** 0.5 * eps
    if noise is not None and std > 0:
        found = found + std * noise()
    if pull is None:
        return found
    gradient, value = pull
    if guidance.rule == "dps":
        pixels = x[0].numel()  # that of DPS is a sum over them
        return found - guidance.strength * pixels**0.5 * gradient / value.clamp_min(1e-12).sqrt()
    # how far the predicted noise moves the mean of DDPM's posterior, by way of the predicted image
    reach = after**0.5 * (1 - now / after) / (1 - now) * ((1 - now) / now) ** 0.5 * _rms(eps)
    return found - guidance.strength * reach * gradient / _rms(gradient).clamp_min(1e-20)


def _predicted(
    model: DiffusionModel, x: torch.Tensor, t: int, energy: Energy | None
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
    """Clean image and noise, both predicted; the energy's gradient at `x`, and its value as [B, 1, 1, 1]."""
    denoise = denoiser(model, unconditional)
    if energy is None:
        with torch.no_grad():
            return *denoise(x, t), None
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean, eps = denoise(x, t)
        value = energy(model.outside(clean))
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return clean.detach(), eps.detach(), (gradient, value.detach().reshape(-1, 1, 1, 1))


def _within(share: float, window: tuple[float, float]) -> bool:
    return window[0] < share <= window[1]


def _rms(images: torch.Tensor) -> torch.Tensor:
    """Root mean square of each image, [B, 1, 1, 1]."""
    return images.square().mean((1, 2, 3), keepdim=True).sqrt()
