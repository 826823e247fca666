"""Four large steps of a variance-preserving diffusion, and the way back (Xiao et al. 2022; Özbey et al. 2023, Eq. 8-11)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

EPSILON, BETA_MIN, BETA_MAX = 1e-3, 0.1, 20.0


@dataclass(frozen=True)
class Steps:
    """The diffusion ``x_(t+1) = sqrt(1 - beta_t) x_t + sqrt(beta_t) noise`` for t = 0 .. T-1, from the image ``x_0``.

    Attributes:
        betas: float64 ``[T]``.
        kept: share of the image's variance in ``x_0 .. x_T``, the products of ``1 - beta``, float64 ``[T + 1]``.
    """

    betas: torch.Tensor
    kept: torch.Tensor

    @classmethod
    def of(cls, count: int) -> Steps:
        """`count` steps of equal length on the time axis of the continuous process with a rate from 0.1 to 20."""
        times = [EPSILON + (1 - EPSILON) * step / count for step in range(count + 1)]
        # the integral of the rate, of which exp(-it) of the variance is kept. The image itself, at the first time, counts as
        # whole, so that the products fall short of the continuous process by 1.1e-4, as in the released code
        left = [math.exp(-(BETA_MIN * t + (BETA_MAX - BETA_MIN) * t**2 / 2)) for t in times]
        betas = torch.tensor([1 - after / now for now, after in pairwise(left)], dtype=torch.float64)
        return cls(betas, torch.cat([betas.new_ones(1), torch.cumprod(1 - betas, 0)]))

    def __len__(self) -> int:
        return len(self.betas)

    def noised(self, clean: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``x_t`` of images [B,1,H,W] at steps `t` [B] in 0..T; the image itself at 0."""
        kept = _like(self.kept, t, clean)
        return kept.sqrt() * clean + (1 - kept).sqrt() * noise

    def next(self, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``x_(t+1)`` of ``x_t`` [B,1,H,W]."""
        beta = _like(self.betas, t, x)
        return (1 - beta).sqrt() * x + beta.sqrt() * noise

    def posterior(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of ``q(x_t | x_0, x_(t+1))``: weights of ``x_0`` and of ``x_(t+1)`` in its mean, and its variance; each [T]."""
        before, after = self.kept[:-1], self.kept[1:]
        of_clean = self.betas * before.sqrt() / (1 - after)
        of_noisy = (1 - before) * (1 - self.betas).sqrt() / (1 - after)
        return of_clean, of_noisy, self.betas * (1 - before) / (1 - after)

    def back(self, clean: torch.Tensor, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``x_t`` drawn from the posterior of an estimate of the image and of ``x_(t+1)`` = `x`; without noise at 0."""
        of_clean, of_noisy, variance = (_like(values, t, x) for values in self.posterior())
        return of_clean * clean + of_noisy * x + variance.sqrt() * noise


def _like(table: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Entries of a table at `t` [B], for tensors such as `x` [B,1,H,W]."""
    return table.to(x.device)[t].to(x.dtype).reshape(-1, 1, 1, 1)
