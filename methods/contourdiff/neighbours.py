"""The channel of a neighbouring slice: which are neighbours, and what training shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from xmodbench.devices import handed
from xmodbench.learning.diffusion.affine import warped
from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.maps import Maker, TrainingMaps
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.progress import Progress
from xmodbench.seeding import derive_seed


def one_after_the_other(volumes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Slices [N, 1, H, W] of volumes [1, D, H, W], and the rows [N, 2] of those below and above each, -1 where none is."""
    slices = np.concatenate([volume.swapaxes(0, 1) for volume in volumes])
    places = np.concatenate([np.arange(volume.shape[1]) for volume in volumes])
    depths = np.concatenate([np.full(volume.shape[1], volume.shape[1]) for volume in volumes])
    rows = np.arange(len(slices))
    below, above = np.where(places > 0, rows - 1, -1), np.where(places < depths - 1, rows + 1, -1)
    return slices, np.stack([below, above], 1)


class NeighbourMaps(TrainingMaps):
    """Channels of training batches: the maps of the clean images, and last the slice above or below in a share of cases.

    The neighbour is flipped and warped as the slice is; where none is shown the channel is black.

    Args:
        model: being trained; in evaluation mode, when held-out slices are looked at, nothing is warped.
        makers: see `TrainingMaps`.
        slices: float32 ``[N, 1, H, W]`` in [0, 1].
        beside: see `one_after_the_other`.
        progress: shows the maps being made.
    """

    def __init__(
        self,
        model: DiffusionModel,
        makers: Mapping[str, Maker],
        slices: np.ndarray,
        beside: np.ndarray,
        progress: Progress,
    ):
        super().__init__(makers, slices, model.settings, progress)
        self.model, self.slices, self.beside = model, slices, beside

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Channels [B, k + 1, H, W]."""
        shown = [
            self._shown(*facts)
            for facts in zip(batch.index.tolist(), batch.flipped.tolist(), batch.seeds.tolist(), strict=True)
        ]
        channel = self.model.inside(handed(torch.from_numpy(np.stack(shown)), str(batch.clean.device)))
        maps = super().__call__(batch)
        return channel if maps is None else torch.cat([maps, channel], 1)

    def _shown(self, row: int, flipped: bool, seed: int) -> np.ndarray:
        """The neighbour [1, H, W] of a slice in one step, or black."""
        settings = self.model.settings
        given, side = np.random.default_rng(derive_seed(seed, "neighbour")).random(2)
        first, second = self.beside[row] if side < 0.5 else self.beside[row][::-1]
        beside = first if first >= 0 else second
        if given >= settings.neighbour_share or beside < 0:
            return np.zeros_like(self.slices[row])
        image = self.slices[beside][..., ::-1] if flipped else self.slices[beside]
        # the stream that the slice itself is warped by
        rng = np.random.default_rng(derive_seed(seed, "affine"))
        if self.model.network.training and settings.affine and rng.random() < settings.affine:
            return warped(image[0], rng)[None]
        return np.ascontiguousarray(image)
