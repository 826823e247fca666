"""Noise processes: how much signal and noise is left at each of the discrete times ``0 .. T-1``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch


@dataclass(frozen=True)
class Process:
    """A Gaussian diffusion ``x_t = signal[t] * x_0 + noise[t] * eps`` with ``eps ~ N(0, I)``.

    Attributes:
        kind: ``vp`` (variance preserving, signal shrinks) or ``ve`` (variance exploding, signal stays 1).
        signal, noise: float32 ``[T]``.
        betas: float32 ``[T]`` of a VP process, empty otherwise.
    """

    kind: Literal["vp", "ve"]
    signal: torch.Tensor
    noise: torch.Tensor
    betas: torch.Tensor
    _placed: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def length(self) -> int:
        """Number of times T."""
        return len(self.signal)

    def diffuse(self, clean: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """``x_t`` of clean images [B, ...] at times `t` (int64 [B]) with noise `eps`."""
        signal, noise = self.levels(t, clean)
        return signal * clean + noise * eps

    def input_scale(self, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor | float:
        """What the network's input is multiplied by: brings VE images of any noise level to a variance near 1."""
        return 1.0 if self.kind == "vp" else (1 + self.levels(t, like)[1] ** 2).rsqrt()

    def target(self, prediction: str, clean: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """What a network with this `prediction` should answer (``score``: the score times the noise level)."""
        if prediction == "eps":
            return eps
        if prediction == "score":
            return -eps
        if prediction == "x0":
            return clean
        signal, noise = self.levels(t, clean)
        return signal * eps - noise * clean

    def clean_and_eps(
        self, prediction: str, answer: torch.Tensor, x: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimates of ``x_0`` and ``eps`` from the network's answer at ``x_t = x``."""
        a, s = self.levels(t, x)
        if prediction == "x0":
            return answer, (x - a * answer) / s
        if prediction == "v":
            norm = a**2 + s**2
            return (a * x - s * answer) / norm, (s * x + a * answer) / norm
        eps = -answer if prediction == "score" else answer
        return (x - s * eps) / a, eps

    def levels(self, t: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signal and noise at times `t` (int64 [B], on the device of `like`) as [B, 1, ...], for tensors such as `like`.

        The tables are copied to a device once: copying at each evaluation would make a GPU wait for the host.
        """
        if like.device not in self._placed:
            with torch.inference_mode(False):  # a training may be the next to use them
                self._placed[like.device] = self.signal.to(like.device), self.noise.to(like.device)
        shape = (-1, *[1] * (like.ndim - 1))
        signal, noise = self._placed[like.device]
        return signal[t].reshape(shape), noise[t].reshape(shape)


def linear_vp(length: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Process:
    """The linear VP schedule of DDPM, both ends inclusive (MIDiffusion's code and SDEdit use the defaults)."""
    betas = torch.linspace(beta_start, beta_end, length, dtype=torch.float64)
    kept = torch.cumprod(1 - betas, 0)
    return Process("vp", kept.sqrt().float(), (1 - kept).sqrt().float(), betas.float())


def geometric_ve(length: int = 1000, sigma_min: float = 0.01, sigma_max: float = 50.0) -> Process:
    """The geometric VE schedule of score-SDE: ``sigma_t = sigma_min (sigma_max / sigma_min)^(t / (T-1))``."""
    exponent = torch.linspace(0, 1, length, dtype=torch.float64)
    sigmas = sigma_min * (sigma_max / sigma_min) ** exponent
    return Process("ve", torch.ones(length), sigmas.float(), torch.empty(0))


def process_of(settings) -> Process:
    """The process that resolved settings ask for."""
    if settings.process == "ve":
        return geometric_ve(settings.timesteps, settings.sigma_min, settings.sigma_max)
    return linear_vp(settings.timesteps, settings.beta_start, settings.beta_end)
