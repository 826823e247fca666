"""The patchwise contrastive loss of CUT (Park et al. 2020, Eq. 2-4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class Projections(nn.Module):
    """A two-layer perceptron for each layer of features, to points on the unit sphere.

    Args:
        channels: of each layer's features.
        width: hidden and output units.
    """

    def __init__(self, channels: Sequence[int], width: int = 256):
        super().__init__()
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )

    def forward(self, features: Sequence[torch.Tensor], places: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Features [B,c,h,w] of each layer at the given positions [P] (of h*w) to unit vectors [B,P,width]."""
        points = []
        for mlp, layer, at in zip(self.mlps, features, places, strict=True):
            point = mlp(layer.flatten(2)[:, :, at].transpose(1, 2).float())
            points.append(point / (point.norm(dim=2, keepdim=True) + 1e-7))
        return points


def layers_nce(
    projections: Projections,
    queries: Sequence[torch.Tensor],
    keys: Sequence[torch.Tensor],
    patches: int,
    temperature: float,
) -> torch.Tensor:
    """Contrastive loss of features [B,c,h,w] of translations (`queries`) and sources (`keys`), the mean over layers.

    Never in bfloat16: divided by a temperature of 0.07, its cosines are off by 0.05. Nor may autocast keep weights it has
    cast for the keys, without gradients: some versions of torch use them again, and the projections stop learning.
    """
    places = drawn_places(keys, patches)
    with torch.autocast(keys[0].device.type, enabled=False):
        with torch.no_grad():
            points = projections(keys, places)
        pairs = zip(projections(queries, places), points, strict=True)
        return torch.stack([patch_nce(query, key, temperature) for query, key in pairs]).mean()


def drawn_places(features: Sequence[torch.Tensor], patches: int) -> list[torch.Tensor]:
    """Up to `patches` random positions for each layer, none twice; from torch's global CPU generator."""
    return [torch.randperm(layer[0, 0].numel())[:patches].to(layer.device) for layer in features]


def patch_nce(query: torch.Tensor, key: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean cross-entropy of finding each query's own position among the keys of its image.

    Args:
        query: unit vectors [B,P,C] of the translation.
        key: of the source at the same positions; no gradient passes into it.
        temperature: divides the cosines.
    """
    key = key.detach()
    cosines = query @ key.transpose(1, 2)
    own = (query * key).sum(2, keepdim=True)
    # the released code keeps the position itself among the negatives, with a cosine of -10 (a weight of practically 0)
    others = cosines.masked_fill(torch.eye(cosines.shape[1], dtype=torch.bool, device=cosines.device), -10.0)
    logits = torch.cat([own, others], 2).flatten(0, 1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
