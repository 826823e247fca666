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

    def pair(
        self, clean: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, step_eps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images of a VP process one time before `t` (int64 [B]), clean at time 0, and at `t`, made of these in one step.

        Args:
            clean: images [B, ...].
            t: of the later image.
            eps, step_eps: ``N(0, I)`` of their shape: noise of the earlier image, and what the step adds.
        """
        signal, noise = self.earlier_levels(t, clean)
        earlier, ratio = signal * clean + noise * eps, self.levels(t, clean)[0] / signal
        return earlier, ratio * earlier + (1 - ratio**2).sqrt() * step_eps

    def back(self, clean: torch.Tensor, x: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """The image one time before `t`, drawn with `eps` from the posterior of a clean image and of ``x_t = x``."""
        of_clean, of_noisy, std = self.posterior(t, x)
        return of_clean * clean + of_noisy * x + std * eps

    def posterior(self, t: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of a VP process: what the image one time earlier is made of, given the clean one and that of times `t`.

        Returns:
            weights of the clean and of the noisy image, and the standard deviation, as [B, 1, ...]; at time 0, where the
            earlier image is the clean one, 1, 0 and 0.
        """
        kept, before = (levels[0].double() ** 2 for levels in (self.levels(t, like), self.earlier_levels(t, like)))
        beta = 1 - kept / before
        weights = before.sqrt() * beta / (1 - kept), (1 - beta).sqrt() * (1 - before) / (1 - kept)
        std = (beta * (1 - before) / (1 - kept)).clamp_min(0).sqrt()
        return weights[0].to(like), weights[1].to(like), std.to(like)

    def earlier_levels(self, t: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `levels`, one time earlier: before time 0 the image is clean, 1 and 0."""
        signal, noise = self.levels((t - 1).clamp_min(0), like)
        first = t.reshape(signal.shape) == 0
        return signal.masked_fill(first, 1.0), noise.masked_fill(first, 0.0)

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


def continuous_vp(steps: int, rate_start: float, rate_end: float, first: float = 1e-3) -> Process:
    """The VP equation whose rate rises linearly, ``dx = -rate/2 x dt + sqrt(rate) dw``, at `steps` equal steps to time 1.

    As in denoising diffusion GANs (Xiao et al. 2022), whose clean images are those of the time `first`: what is kept of
    them falls short of the equation by what it loses until then, as in the released code of FGDM and SynDiff.
    """
    time = first + (1 - first) * torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = torch.exp(-0.5 * time**2 * (rate_end - rate_start) - time * rate_start)
    betas, kept = 1 - kept[1:] / kept[:-1], kept[1:] / kept[0]
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
    make = linear_vp if settings.schedule == "linear" else continuous_vp
    return make(settings.timesteps, settings.beta_start, settings.beta_end)
