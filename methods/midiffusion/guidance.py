"""The two LMI maps that condition MIDiffusion: cross (clean against noisy image) and self (clean against itself)."""

from __future__ import annotations

import torch

from xmodbench.diffusion.batches import Batch
from xmodbench.diffusion.model import Condition, DiffusionModel
from xmodbench.progress import Progress

from .lmi import LmiOptions, lmi_map

LMI_FIELDS = (
    *("window", "bins", "bandwidth", "quantise", "out_of_range", "search", "radius", "pad", "marginals", "reduce"),
    *("eps", "log_base"),
)


def lmi_options(settings, normalise: bool) -> LmiOptions:
    """The LMI options among resolved settings."""
    return LmiOptions(normalise=normalise, **{name: getattr(settings, name) for name in LMI_FIELDS})


class TrainingGuide:
    """Channels of training batches.

    Without blur, the self maps of all slices are computed once and flipped with their slice (LMI commutes with flips).

    Args:
        model: the model being trained.
        images: training slices, float32 ``[N, 1, H, W]`` in [0, 1].
        progress: shows the self maps being made.
    """

    def __init__(self, model: DiffusionModel, images, progress: Progress):
        self.model, self.settings = model, model.settings
        self.options = lmi_options(self.settings, self.settings.normalise_train)
        self.self_maps = None
        if "self" in self.settings.channels and self.settings.blur == 0:
            slices = (torch.from_numpy(image.copy())[None] for image in images)
            tracked = progress.track(slices, "self maps", total=len(images))
            self.self_maps = torch.cat([lmi_map(one, one, self.options) for one in tracked])

    def __call__(self, batch: Batch) -> torch.Tensor | None:
        """Channels [B, k, H, W]."""
        maps = {"cross": self._cross, "self": self._self}
        found = [maps[name](batch) for name in self.settings.channels]
        return torch.cat(found, 1) if found else None

    def _cross(self, batch: Batch) -> torch.Tensor:
        process = self.model.process
        later = (batch.t + self.settings.time_shift).clamp_max(process.length - 1)
        noisy = process.diffuse(self.model.inside(batch.clean), later, batch.eps)
        return lmi_map(batch.clean, self.model.outside(noisy), self.options)

    def _self(self, batch: Batch) -> torch.Tensor:
        if self.self_maps is None:
            return lmi_map(batch.clean, batch.clean, self.options)
        kept = self.self_maps[batch.index.cpu()].to(batch.clean.device)
        return torch.where(batch.flipped[:, None, None, None], kept.flip(-1), kept)


def source_guide(model: DiffusionModel, source: torch.Tensor) -> Condition:
    """The condition when translating `source` [B, 1, H, W]; its self map is computed once."""
    options = lmi_options(model.settings, model.settings.normalise_sample)
    channels = model.settings.channels
    with_itself = lmi_map(source, source, options) if "self" in channels else None

    def condition(noisy: torch.Tensor) -> torch.Tensor | None:
        found = [lmi_map(source, noisy, options) if name == "cross" else with_itself for name in channels]
        return torch.cat(found, 1) if found else None

    return condition
