"""Training augmentation: enlarge, crop back at random, flip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class View:
    """Where an image is cropped and whether it is flipped.

    Attributes:
        top, left: place of the crop as shares of the room there is, in [0, 1).
        flipped: left to right.
    """

    top: float
    left: float
    flipped: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator, flip: float) -> View:
        """A random view, flipped with probability `flip`."""
        top, left, toss = rng.random(3)
        return cls(float(top), float(left), bool(toss < flip))


def seen(image: np.ndarray, view: View, zoom: float) -> torch.Tensor:
    """``image`` [1,H,W] in [0, 1], enlarged `zoom` times (bicubic, in float), cropped to its size and flipped."""
    height, width = image.shape[1:]
    x = torch.from_numpy(np.array(image, dtype=np.float32))[None]
    enlarged = [round(height * zoom), round(width * zoom)]
    if enlarged != [height, width]:
        # antialias: the cubic of image libraries (a = -1/2); it overshoots at edges
        x = functional.interpolate(x, enlarged, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = int(view.top * (enlarged[0] - height + 1)), int(view.left * (enlarged[1] - width + 1))
    x = x[0, :, top : top + height, left : left + width]
    return x.flip(-1) if view.flipped else x
