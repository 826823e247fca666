"""Training batches that are functions of (seed, step) alone, so that a resumed job sees what the killed one would have."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from xmodbench.devices import handed
from xmodbench.learning.philox import normal
from xmodbench.seeding import derive_seed

from .affine import warped
from .blur import LARGEST, blurred


@dataclass(frozen=True)
class Batch:
    """One process's part of a step.

    Attributes:
        clean: augmented images ``[B, 1, H, W]`` in [0, 1].
        index: row of each in the training array, int64 ``[B]``, on the CPU.
        flipped: whether it was flipped left to right, bool ``[B]``.
        t: times, int64 ``[B]``.
        eps: noise ``[B, 1, H, W]``; on a GPU it is made there, from the step's seed and an image's place in the batch.
        seeds: of whatever else is random in an image's part of the step, int64 ``[B]``, on the CPU.
    """

    clean: torch.Tensor
    index: torch.Tensor
    flipped: torch.Tensor
    t: torch.Tensor
    eps: torch.Tensor
    seeds: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))


class Batches:
    """Makes the batch of any step.

    Args:
        images: training slices, float32 ``[N, 1, H, W]`` in [0, 1].
        settings: resolved `DiffusionSettings`.
        seed: of the run.
        rank, world: this process among the processes of the job; together they see batches of ``world * batch_size``.
        rows: of `images` that are trained on; all of them if left out.
    """

    def __init__(
        self, images: np.ndarray, settings, seed: int, rank: int = 0, world: int = 1, rows: np.ndarray | None = None
    ):
        self.images, self.settings, self.seed = images, settings, seed
        self.rows = np.arange(len(images)) if rows is None else rows
        self.rank, self.total = rank, settings.batch_size * world
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def at(self, step: int, device: str) -> Batch:
        """The batch of micro-step `step`, on `device`."""
        s, n = self.settings, self.total
        mine = slice(self.rank * s.batch_size, (self.rank + 1) * s.batch_size)
        seed = derive_seed(self.seed, "step", step)
        rng = torch.Generator().manual_seed(seed)
        t = _times(n, s.timesteps, s.antithetic, rng)[mine]
        flipped = (torch.rand(n, generator=rng) < s.flip)[mine]
        blurs = (torch.rand(n, generator=rng) < s.blur)[mine]
        sigma = (LARGEST * torch.rand(n, generator=rng))[mine]
        if device == "cpu":
            eps = torch.randn((n, *self.images.shape[1:]), generator=rng)[mine]
        else:
            places = torch.arange(n, device=device)[mine]
            eps = normal(torch.full_like(places, seed), places, self.images.shape[1:])
        index = self._rows(step)[mine]
        clean = torch.from_numpy(np.stack([np.asarray(self.images[row]) for row in index]))
        clean = torch.where(flipped[:, None, None, None], clean.flip(-1), clean)
        seeds = torch.tensor([derive_seed(seed, "image", place) for place in range(n)[mine]])
        if s.affine:
            clean = torch.stack(
                [_affine(image, s.affine, one) for image, one in zip(clean, seeds.tolist(), strict=True)]
            )
        for i in blurs.nonzero()[:, 0].tolist():
            clean[i, 0] = torch.from_numpy(blurred(clean[i, 0].numpy(), float(sigma[i])))
        clean, flipped, t = (handed(part, device) for part in (clean, flipped, t))
        return Batch(clean, torch.from_numpy(index), flipped, t, eps, seeds)

    def _rows(self, step: int) -> np.ndarray:
        places = np.arange(step * self.total, (step + 1) * self.total)
        count = len(self.rows)
        return self.rows[[self._order(int(place // count))[place % count] for place in places]]

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(derive_seed(self.seed, "epoch", epoch)).permutation(len(self.rows))


def _affine(image: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """An image [1, H, W], warped in a `share` of cases."""
    rng = np.random.default_rng(derive_seed(seed, "affine"))
    return torch.from_numpy(warped(image[0].numpy(), rng))[None] if rng.random() < share else image


def _times(n: int, length: int, antithetic: bool, rng: torch.Generator) -> torch.Tensor:
    """Times for `n` images; antithetic ones come in pairs t, T-1-t (released code: half plus one are drawn)."""
    if not antithetic:
        return torch.randint(0, length, (n,), generator=rng)
    half = torch.randint(0, length, (n // 2 + 1,), generator=rng)
    return torch.cat([half, length - 1 - half])[:n]
