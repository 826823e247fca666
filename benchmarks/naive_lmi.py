"""LMI as one would first write it with tensors: every window pair and every joint histogram in memory at once.

This is the memory layout of the released code, written anew for comparison. It gives the same numbers.
"""

from __future__ import annotations

import torch
from torch.nn.functional import max_pool2d, unfold


def naive_lmi(reference: torch.Tensor, sliding: torch.Tensor, normalise: bool = True) -> torch.Tensor:
    """LMI map of ``[B, 1, H, W]``, windows of 3x3, 27 bins of width 8."""
    batch, _, height, width = reference.shape
    patches = unfold(sliding, 3, padding=1)  # every pixel becomes the 3x3 patch around it
    mosaic = patches.reshape(batch, 3, 3, height, width).permute(0, 3, 1, 4, 2).reshape(batch, 1, 3 * height, 3 * width)
    moving = unfold(mosaic, 3, padding=1).transpose(1, 2).reshape(-1, 9)
    fixed = unfold(reference, 3, padding=1).reshape(batch, 9, height, 1, width, 1)
    fixed = fixed.expand(-1, -1, -1, 3, -1, 3).reshape(batch, 9, -1).transpose(1, 2).reshape(-1, 9)
    scores = information(kernels(fixed), kernels(moving), normalise)
    return max_pool2d(scores.reshape(batch, 1, 3 * height, 3 * width), 3, 3)


def kernels(values: torch.Tensor) -> torch.Tensor:
    """Kernel values of every grey level in every bin, ``[..., 27]``."""
    centres = torch.linspace(0, 255, 27, device=values.device)
    levels = (255 * values).clamp(-1e9, 1e9).int().float()
    return torch.exp(-0.5 * ((levels[..., None] - centres) / 8) ** 2)


def information(a: torch.Tensor, b: torch.Tensor, normalise: bool, eps: float = 1e-10) -> torch.Tensor:
    """Mutual information (or symmetric uncertainty) of stacks of windows ``[windows, 9, 27]``."""
    joint = torch.bmm(a.transpose(1, 2), b)
    joint = joint / (joint.sum((1, 2), keepdim=True) + eps)
    p, q = a.mean(1), b.mean(1)
    p, q = p / (p.sum(1, keepdim=True) + eps), q / (q.sum(1, keepdim=True) + eps)
    hp, hq = (-(x * torch.log2(x + eps)).sum(1) for x in (p, q))
    found = hp + hq + (joint * torch.log2(joint + eps)).sum((1, 2))
    return 2 * (found + eps) / (hp + hq + eps) if normalise else found
