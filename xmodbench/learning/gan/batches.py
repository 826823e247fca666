"""Training batches that are functions of (seed, step) alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from xmodbench.devices import handed
from xmodbench.learning.gan.augment import View, seen
from xmodbench.learning.gan.schedule import decaying
from xmodbench.seeding import derive_seed


@dataclass(frozen=True)
class Batch:
    """Augmented slices ``[B, 1, H, W]`` in [-1, 1]."""

    source: torch.Tensor
    target: torch.Tensor


class Batches:
    """Makes the batch of any step; an epoch passes over the larger of the two sets.

    Args:
        source, target: float32 ``[N, 1, H, W]`` in [0, 1].
        settings: resolved `GanSettings`.
        seed: of the run.
        paired: rows belong together and are augmented alike; otherwise the source is passed over again and again, the
            target drawn with replacement, each with an augmentation of its own.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray, settings, seed: int, paired: bool):
        self.source, self.target, self.settings, self.seed, self.paired = source, target, settings, seed, paired
        self.count = max(len(source), len(target))
        self.per_epoch = math.ceil(self.count / settings.batch_size)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def at(self, step: int, device: str) -> Batch:
        """The batch of `step` on `device`; the last of an epoch may be smaller."""
        s = self.settings
        rng = np.random.default_rng(derive_seed(self.seed, "step", step))
        zoom = s.zoom if s.zoom_in_decay or not decaying(s, step, self.per_epoch) else 1.0
        sources, targets = [], []
        for row, other in zip(*self.rows(step), strict=True):
            view = View.drawn(rng, s.flip)
            sources.append(seen(self.source[row], view, zoom))
            targets.append(seen(self.target[other], view if self.paired else View.drawn(rng, s.flip), zoom))
        parts = (2 * torch.stack(images) - 1 for images in (sources, targets))
        return Batch(*(handed(part, device) for part in parts))

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the source and of the target in the batch of `step`."""
        epoch, place = divmod(step, self.per_epoch)
        size = self.settings.batch_size
        rows = self._order(epoch)[place * size : (place + 1) * size]
        if self.paired:
            return rows, rows
        rng = np.random.default_rng(derive_seed(self.seed, "target", step))
        return rows % len(self.source), rng.integers(len(self.target), size=len(rows))

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(derive_seed(self.seed, "epoch", epoch)).permutation(self.count)
