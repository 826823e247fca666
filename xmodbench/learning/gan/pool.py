"""A memory of translations, so that a discriminator also sees older ones (Shrivastava et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch


class ImagePool:
    """Up to `size` single images.

    Args:
        size: 0 hands every image through.
    """

    def __init__(self, size: int):
        self.size = size
        self.images: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """For each image of a batch [B,1,H,W] the image to show in its place; detached.

        While the pool fills up, the image itself, which is kept; then with probability 1/2 a kept one, whose place the
        image takes, else the image itself.
        """
        return torch.stack([self._exchanged(image, rng) for image in images.detach()])

    def _exchanged(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if not self.size or rng.random() >= 0.5:
            return image
        place = int(rng.integers(self.size))
        old, self.images[place] = self.images[place], image.clone()
        return old
