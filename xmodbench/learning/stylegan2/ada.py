"""The controller of adaptive augmentation: how often images are augmented (Karras et al. 2020, NeurIPS, section 3.1)."""

from __future__ import annotations

import math

import torch

from xmodbench.learning.training import processes

INTERVAL = 4


class Controller:
    """Raises or lowers p so that the discriminator calls as many training images real as `target` says.

    Args:
        target: wanted mean sign of the scores of real images (published: 0.6).
        batch_size: images of a step.
        kimg: thousands of images in which p may rise from 0 to 1 (published: 500).
        device: of the state.

    Attributes:
        p: probability; the released code leaves it unbounded above, here it ends at 1.
        signs: sum of the signs since the last adjustment, and their number, on the device.
    """

    def __init__(self, target: float, batch_size: int, kimg: float, device: str):
        self.target = target
        self.change = batch_size * INTERVAL / (kimg * 1000)
        self.p = 0.0
        self.signs = torch.zeros(2, device=device)

    @torch.no_grad()
    def observe(self, scores: torch.Tensor) -> None:
        """Note the discriminator's scores [N] of augmented training images."""
        self.signs[0] += scores.sign().sum()
        self.signs[1] += len(scores)

    def adjust(self, step: int) -> None:
        """Move p after every fourth step. `step` counts from 0."""
        if (step + 1) % INTERVAL:
            return
        processes.average(self.signs)
        total, count = self.signs.tolist()
        difference = total / max(count, 1) - self.target
        if difference:
            self.p = min(1.0, max(0.0, self.p + math.copysign(self.change, difference)))
        self.signs.zero_()
