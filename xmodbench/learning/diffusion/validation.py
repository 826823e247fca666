"""How long to train on data of one's own: slices that are held out say when more no longer helps.

They are slices of the target's training subjects, so that a method still sees nothing but those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from xmodbench.seeding import derive_seed

from .batches import Batch
from .length import count_held_out

RUNS = 3
"""Runs of neighbouring slices that are held out: a slice between two that are trained on would be no test."""
LOOKS = 64
"""Noisy images that a look takes, each at a time of its own: as much work as a few steps."""


def held_out(count: int, share: float) -> np.ndarray:
    """Rows of ``count`` slices that are held out: a `share` of them in runs spread evenly; none of few."""
    wanted = count_held_out(count, share)
    if not wanted:
        return np.arange(0)
    runs = min(RUNS, max(1, wanted // 2))
    sizes = [len(part) for part in np.array_split(np.arange(wanted), runs)]
    middles = [count * (2 * run + 1) / (2 * runs) for run in range(runs)]
    starts = [round(middle - size / 2) for middle, size in zip(middles, sizes, strict=True)]
    return np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])


def look_every(steps: int) -> int:
    """Steps between two looks: 50 looks in a training, but a look costs as much as some five steps."""
    return min(steps, max(50, min(500, steps // 50)))


def fixed_batches(images: np.ndarray, rows: np.ndarray, settings, seed: int, device: str) -> Iterator[Batch]:
    """The same noisy images at every look: each held-out slice with noise and times of its own, spread over all times."""
    count = len(rows) * math.ceil(LOOKS / len(rows))
    rng = torch.Generator().manual_seed(derive_seed(seed, "held out"))
    times = ((torch.arange(count) + 0.5) * settings.timesteps / count).long()[torch.randperm(count, generator=rng)]
    for start in range(0, count, settings.batch_size):
        index = rows[np.arange(start, min(start + settings.batch_size, count)) % len(rows)]
        clean = torch.from_numpy(np.stack([np.asarray(images[row]) for row in index]))
        eps = torch.randn(clean.shape, generator=rng)
        flipped, t = torch.zeros(len(index), dtype=torch.bool), times[start : start + len(index)]
        seeds = torch.tensor([derive_seed(seed, "held out", start + place) for place in range(len(index))])
        yield Batch(*(part.to(device) for part in (clean, torch.from_numpy(index), flipped, t, eps, seeds)))
