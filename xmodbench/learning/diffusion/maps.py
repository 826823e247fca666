"""Maps of a clean image that condition a diffusion model: of the slice itself in training, of the source in translation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from xmodbench.devices import handed
from xmodbench.progress import Progress

from .batches import Batch

Maker = Callable[[torch.Tensor], torch.Tensor]
"""The map of images [B, 1, H, W] in [0, 1], of the same shape or of several channels; that of a flipped image is the flipped
map, unless it is made `afresh`."""


class TrainingMaps:
    """Channels of training batches, one for each of the makers: maps of the batch's clean images.

    Where slices are augmented by nothing but flips, their maps are made once and flipped with them.

    Args:
        makers: by the channels' names.
        images: training slices, float32 ``[N, 1, H, W]`` in [0, 1].
        settings: resolved `DiffusionSettings`.
        progress: shows the maps being made.
        afresh: channels that are made of each batch anew, since they have directions that a flip would have to exchange.

    Attributes:
        kept: the maps that were made once, ``[N, 1, H, W]`` on the CPU.
    """

    def __init__(
        self,
        makers: Mapping[str, Maker],
        images,
        settings: Any,
        progress: Progress,
        afresh: Collection[str] = (),
    ):
        self.makers = dict(makers)
        self.kept: dict[str, torch.Tensor] = {}
        if settings.blur == 0 and settings.affine == 0:
            for name, make in self.makers.items():
                if name in afresh:
                    continue
                slices = (torch.from_numpy(image.copy())[None] for image in images)
                tracked = progress.track(slices, f"{name} maps", total=len(images))
                self.kept[name] = torch.cat([make(one) for one in tracked])

    def __call__(self, batch: Batch) -> torch.Tensor | None:
        """Channels [B, k, H, W]; None if there are none."""
        return torch.cat([self.of(name, batch) for name in self.makers], 1) if self.makers else None

    def of(self, name: str, batch: Batch) -> torch.Tensor:
        """One of the channels, [B, 1, H, W]; several where its maker makes several."""
        if name not in self.kept:
            return self.makers[name](batch.clean)
        kept = handed(self.kept[name][batch.index], str(batch.clean.device))
        return torch.where(batch.flipped[:, None, None, None], kept.flip(-1), kept)


class SourceMaps:
    """The condition when translating `source` [B, 1, H, W]: its maps, made once.

    Attributes:
        fixed: the maps by name.
        tensors: all that it reads besides the noisy image.
    """

    def __init__(self, makers: Mapping[str, Maker], source: torch.Tensor):
        self.fixed = {name: make(source) for name, make in makers.items()}
        self.tensors = tuple(self.fixed.values())

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor | None:
        """Channels [B, k, H, W], the same for every noisy image; None if there are none."""
        return torch.cat(list(self.fixed.values()), 1) if self.fixed else None
