"""Training images at the networks' resolution, and batches of them that are functions of (seed, step) alone."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from xmodbench.devices import handed
from xmodbench.seeding import derive_seed


def nearest_resolution(height: int, width: int) -> int:
    """The power of two nearest to the longer side (as a ratio), 8 at least and 1024 at most."""
    return int(np.clip(2 ** round(math.log2(max(height, width))), 8, 1024))


def to_square(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Images [N,1,H,W] in [0, 1] to the networks' [N,1,resolution,resolution] in [-1, 1].

    Shorter sides are filled with zeros (air) on both sides; other sizes are resampled (bicubic, without aliasing).
    """
    height, width = images.shape[2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    images = functional.pad(images, (left, side - width - left, top, side - height - top))
    return 2 * _resized(images, resolution) - 1


def from_square(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The way back: [N,1,R,R] in about [-1, 1] to [N,1,height,width] in [0, 1], values outside cut off."""
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    images = _resized((images.float() + 1) / 2, side)[..., top : top + height, left : left + width]
    return images.clamp(0, 1)


def _resized(images: torch.Tensor, side: int) -> torch.Tensor:
    if images.shape[2] == side:
        return images
    return functional.interpolate(images, [side, side], mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


class Batches:
    """Makes the batch of any step: all images are passed over again and again, in a new order each time.

    Args:
        images: float32 ``[N, 1, H, W]`` in [0, 1].
        resolution: of the networks.
        size: images of a batch.
        flip: probability of a left-right flip.
        seed: of the phase.
        part: which part of each batch this process gets (from 0), of how many equal ones.
    """

    def __init__(
        self, images: np.ndarray, resolution: int, size: int, flip: float, seed: int, part: tuple[int, int] = (0, 1)
    ):
        self.images, self.resolution, self.size, self.flip, self.seed = images, resolution, size, flip, seed
        number, count = part
        self.part = slice(number * size // count, (number + 1) * size // count)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def at(self, step: int, device: str) -> torch.Tensor:
        """This process's images of `step`, [size, 1, resolution, resolution] in [-1, 1] on `device`."""
        count = len(self.images)
        places = range(step * self.size, (step + 1) * self.size)[self.part]
        rows = [self._order(place // count)[place % count] for place in places]
        flipped = np.random.default_rng(derive_seed(self.seed, "flip", step)).random(self.size)[self.part] < self.flip
        batch = [image[..., ::-1] if flip else image for image, flip in zip(self.images[rows], flipped, strict=True)]
        x = torch.from_numpy(np.stack(batch).astype(np.float32))
        return to_square(handed(x, device), self.resolution)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(derive_seed(self.seed, "epoch", epoch)).permutation(len(self.images))
