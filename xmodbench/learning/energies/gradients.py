"""Energies of image gradients: normalised gradient fields (Haber and Modersitzki 2006) and their correlation."""

from __future__ import annotations

import torch
from torch.nn import functional

EPS = 1e-12


def image_gradients(images: torch.Tensor) -> torch.Tensor:
    """Central differences along rows and columns, [B, 2, H, W] of [B, 1, H, W]; borders are repeated."""
    around = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    down, right = around[..., 2:, 1:-1] - around[..., :-2, 1:-1], around[..., 1:-1, 2:] - around[..., 1:-1, :-2]
    return torch.cat([down, right], 1) / 2


def sobel(images: torch.Tensor, border: str = "replicate") -> torch.Tensor:
    """Sobel's derivatives along rows and columns, [B, 2, H, W] of [B, 1, H, W]; each 1 at a straight step from 0 to 1.

    Args:
        images: see above.
        border: a mode of `torch.nn.functional.pad`.
    """
    smooth = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    step = torch.tensor([-1.0, 0.0, 1.0], dtype=images.dtype, device=images.device)
    filters = torch.stack([step[:, None] * smooth, smooth[:, None] * step])[:, None]
    return functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode=border), filters)


def ngf_energy(one: torch.Tensor, other: torch.Tensor, edge: float) -> torch.Tensor:
    """1 - the mean squared cosine of both images' gradients: [B], the same for inverted contrast.

    Each gradient has the edge parameter as a third component, so that where both images are flat they agree.

    Args:
        one, other: images [B, 1, H, W].
        edge: gradients far below it, in units of the image's own (root mean square) gradient, count as noise.
    """
    fields = []
    for gradients in map(image_gradients, (one, other)):
        squared = (gradients**2).sum(1, keepdim=True)
        noise = edge**2 * squared.mean((2, 3), keepdim=True) + EPS
        fields.append((gradients, squared + noise, noise))
    (a, norm_a, noise_a), (b, norm_b, noise_b) = fields
    squared_cosine = ((a * b).sum(1, keepdim=True).abs() + (noise_a * noise_b).sqrt()) ** 2 / (norm_a * norm_b)
    return 1 - squared_cosine.mean((1, 2, 3))


def gradient_correlation_energy(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """1 - the mean over both axes of the squared correlation of both images' derivatives: [B], blind to inversion."""
    a, b = (gradients - gradients.mean((2, 3), keepdim=True) for gradients in map(image_gradients, (one, other)))
    covariance = (a * b).sum((2, 3))
    return 1 - (covariance**2 / ((a**2).sum((2, 3)) * (b**2).sum((2, 3)) + EPS)).mean(1)
