"""Adversarial losses: how far the scores of a discriminator are from saying real or fake."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional


def least_squares(scores: torch.Tensor, real: bool) -> torch.Tensor:
    """Mean squared distance of the scores from 1 (real) or 0 (fake) (LSGAN, Mao et al. 2017)."""
    return functional.mse_loss(scores, torch.full_like(scores, float(real)))


def cross_entropy(scores: torch.Tensor, real: bool) -> torch.Tensor:
    """Mean binary cross-entropy of the scores, taken as logits (Goodfellow et al. 2014, non-saturating for generators)."""
    return functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))


def r1(score: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Squared gradient of the scores by the pixels, summed over pixels, mean over images [N,1,H,W]; without gamma/2.

    The gradient is that at the images themselves, through whatever augmentation `score` begins with (Mescheder et al. 2018).
    """
    images = images.detach().requires_grad_(True)
    return squared_gradient(score(images), images)


def squared_gradient(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """`r1` where the scores of images that require gradients are there already."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
