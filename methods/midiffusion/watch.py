"""What guides the sampling, kept as it changes: the noisy image of some steps and its LMI with the source."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import torch

from xmodbench.learning.diffusion.model import Condition

from .guidance import planes


def watched_steps(keep: int, steps: int) -> tuple[int, ...]:
    """`keep` of the evaluations ``0 .. steps - 1``, evenly spread, the first and the last among them."""
    return tuple(sorted({int(step) for step in np.linspace(0, steps - 1, min(keep, steps)).round()}))


class Watch:
    """Keeps ``noisy_<step>`` and ``lmi_<step>``, float32 [N, 1, H, W] in [0, 1]; LMI as a share of the most it can be.

    Args:
        settings: of the model; ``cross`` is among its channels.
        steps: the evaluations of the network to keep.
    """

    def __init__(self, settings, steps: tuple[int, ...]):
        before = settings.channels[: settings.channels.index("cross")]
        self.steps, self.channel = steps, planes(before)
        self.top = 1.0 if settings.normalise_sample else math.log(settings.bins, settings.log_base)
        self.parts: dict[str, list[np.ndarray]] = {}

    def watched(self, condition: Condition) -> Condition:
        """The same condition of a batch, watched from its first evaluation on."""
        evaluations = count()

        def watching(noisy: torch.Tensor) -> torch.Tensor | None:
            channels = condition(noisy)
            step = next(evaluations)
            if step in self.steps and channels is not None:
                self._keep(f"noisy_{step}", noisy)
                self._keep(f"lmi_{step}", channels[:, self.channel : self.channel + 1] / self.top)
            return channels

        return watching

    def _keep(self, name: str, images: torch.Tensor) -> None:
        self.parts.setdefault(name, []).append(images.float().clamp(0, 1).cpu().numpy())

    def images(self) -> dict[str, np.ndarray]:
        """All that was kept, by name."""
        return {name: np.concatenate(parts) for name, parts in self.parts.items()}
