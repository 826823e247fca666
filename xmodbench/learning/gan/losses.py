"""Adversarial losses: how far the scores of a discriminator are from saying real or fake."""

from __future__ import annotations

import torch
from torch.nn import functional


def least_squares(scores: torch.Tensor, real: bool) -> torch.Tensor:
    """Mean squared distance of the scores from 1 (real) or 0 (fake) (LSGAN, Mao et al. 2017)."""
    return functional.mse_loss(scores, torch.full_like(scores, float(real)))


def cross_entropy(scores: torch.Tensor, real: bool) -> torch.Tensor:
    """Mean binary cross-entropy of the scores, taken as logits (Goodfellow et al. 2014, non-saturating for generators)."""
    return functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))
