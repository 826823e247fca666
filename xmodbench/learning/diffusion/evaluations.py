"""Evaluations of a diffusion model in translation on a GPU: replayed as CUDA graphs, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from xmodbench.learning.cuda_graph import replayable
from xmodbench.plugins import Run
from xmodbench.seeding import ImageGenerator

Condition = Callable[[torch.Tensor], torch.Tensor | None]
"""As in `model`, which holds these evaluations."""
Evaluate = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Clean image and noise, both estimated, at a noisy image [B, 1, H, W] and its times [B]."""


def tensors_of(condition: Condition) -> Sequence[torch.Tensor]:
    """What a condition reads besides the noisy image: its attribute ``tensors``, if it has one."""
    return getattr(condition, "tensors", ())


class Evaluations:
    """The graphs of a model, one for each shape of a batch, and the size that batches are filled up to.

    Args:
        run: of the translation.
    """

    def __init__(self, run: Run):
        self.run = run
        self._graphs: dict[torch.Size, _Graph] = {}
        self._size: dict[tuple[int, ...], int] = {}

    def __call__(
        self, evaluate: Evaluate, condition: Condition, x: torch.Tensor, t: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``evaluate(x, t)`` with this condition, which must be of the same kind each time."""
        if x.shape not in self._graphs:
            self._graphs[x.shape] = _Graph(evaluate, condition, x, self.run)
        return self._graphs[x.shape](condition, x, t)

    def filled(
        self, source: np.ndarray, generators: Sequence[ImageGenerator]
    ) -> tuple[np.ndarray, list[ImageGenerator]]:
        """Sources [N, ...] and their generators, the last repeated until there are as many as in the largest batch so far.

        Otherwise the last batch of a job, a smaller one, would have everything compiled and captured once more.
        """
        size = self._size[source.shape[1:]] = max(len(source), self._size.get(source.shape[1:], 0))
        lacking = size - len(source)
        more = [ImageGenerator(generators[-1].seed) for _ in range(lacking)]
        return np.concatenate([source, *[source[-1:]] * lacking]), [*generators, *more]


class _Graph:
    """Evaluations of one shape; the first condition and image lend the graph the places it reads from."""

    def __init__(self, evaluate: Evaluate, condition: Condition, x: torch.Tensor, run: Run):
        self.condition = self.latest = condition
        self.x, self.at = x.clone(), torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.work = replayable(lambda: evaluate(self.x, self.at), run, "evaluation")

    def __call__(self, condition: Condition, x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        if condition is not self.latest:
            for place, value in zip(tensors_of(self.condition), tensors_of(condition), strict=True):
                place.copy_(value)
            self.latest = condition
        self.x.copy_(x)
        self.at.fill_(t)
        clean, eps = self.work()
        return clean.clone(), eps.clone()
