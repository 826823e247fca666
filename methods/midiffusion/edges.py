"""Edge maps that take the place of LMI in ablations: the self map mostly follows local contrast."""

from __future__ import annotations

import torch
from torch.nn.functional import pad, unfold

from xmodbench.learning.energies.gradients import sobel


def sobel_map(images: torch.Tensor) -> torch.Tensor:
    """Magnitude of the Sobel gradient of images ``[B, 1, H, W]``, borders repeated; scikit-image's `filters.sobel`.

    The scale: root mean square of the two derivatives, each 1 at a step from 0 to 1. Images in [0, 1] give values in
    [0, 1], a straight step of height 1 gives 0.71.
    """
    return sobel(images).square().mean(1, keepdim=True).sqrt()


def std_map(images: torch.Tensor, window: int) -> torch.Tensor:
    """Standard deviation within the window of side `window` around each pixel, borders repeated, times 2.

    The scale: values in [0, 1] deviate by 0.5 at most, so the map lies in [0, 1].
    """
    half = window // 2
    values = unfold(pad(images, (half, half, half, half), mode="replicate"), window)
    return 2 * values.std(1, correction=0).reshape(images.shape)
