"""Losses of StyleGAN2-ADA's training (Karras et al. 2020, CVPR, section 3.2 and appendix B); R1's is in `gan/losses.py`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional


def says_real(scores: torch.Tensor) -> torch.Tensor:
    """Mean logistic loss of the claim that images with these scores are real (non-saturating, Goodfellow et al. 2014)."""
    return functional.softplus(-scores).mean()


def says_fake(scores: torch.Tensor) -> torch.Tensor:
    """Mean logistic loss of the claim that they are not."""
    return functional.softplus(scores).mean()


def path_lengths(synthesis: Callable[[torch.Tensor], torch.Tensor], ws: torch.Tensor) -> torch.Tensor:
    """Length [N] of a random direction in the image, carried back to the latent vectors [N, count, latent] (Eq. 4)."""
    images = synthesis(ws)
    direction = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
