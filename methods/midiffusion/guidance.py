"""What conditions MIDiffusion: channels made of the clean image (the source when translating) and the noisy one.

``cross`` is the LMI of both and changes with every step. The others depend on the clean image alone and are made once:
``self``, its LMI with itself, and for ablations the edge maps ``sobel`` and ``std`` and the descriptor ``mind``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.maps import Maker, SourceMaps, TrainingMaps
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.energies.mind import NEIGHBOURS, mind
from xmodbench.plugins import Run
from xmodbench.progress import Progress

from .edges import sobel_map, std_map
from .lmi import LmiOptions, lmi_map, path_of

LMI_FIELDS = (
    *("window", "bins", "bandwidth", "quantise", "out_of_range", "search", "radius", "pad", "marginals", "reduce"),
    *("temperature", "eps", "log_base", "smooth"),
)

MIND_NEIGHBOURS = 4


def planes(channels: Sequence[str]) -> int:
    """How many input channels of the network they are: one each, but for MIND's one for each neighbour."""
    return sum(len(NEIGHBOURS[MIND_NEIGHBOURS]) if name == "mind" else 1 for name in channels)


def lmi_options(settings, normalise: bool) -> LmiOptions:
    """The LMI options among resolved settings."""
    return LmiOptions(normalise=normalise, **{name: getattr(settings, name) for name in LMI_FIELDS})


def note_path(settings, normalise: bool, run: Run) -> None:
    """Put into a job's record which implementation makes its LMI maps, if it makes any."""
    if {"cross", "self"} & set(settings.channels):
        run.facts["lmi_path"] = path_of(run.device, lmi_options(settings, normalise))


def maps_of_clean(settings, options: LmiOptions) -> dict[str, Maker]:
    """For each channel that depends on clean images [B, 1, H, W] alone, in the order of `settings`, how it is made."""
    known: dict[str, Maker] = {
        "self": lambda images: lmi_map(images, images, options),
        "sobel": sobel_map,
        "std": partial(std_map, window=settings.window),
        "mind": partial(mind, neighbours=MIND_NEIGHBOURS),
    }
    return {name: known[name] for name in settings.channels if name != "cross"}


class TrainingGuide(TrainingMaps):
    """Channels of training batches, in the order of the settings.

    Args:
        model: the model being trained.
        images: training slices, float32 ``[N, 1, H, W]`` in [0, 1].
        progress: shows the maps being made.
    """

    def __init__(self, model: DiffusionModel, images, progress: Progress):
        self.model, self.settings = model, model.settings
        self.options = lmi_options(self.settings, self.settings.normalise_train)
        super().__init__(maps_of_clean(self.settings, self.options), images, self.settings, progress, afresh=("mind",))

    def __call__(self, batch: Batch) -> torch.Tensor | None:
        """Channels [B, k, H, W]; None if there are none."""
        found = [self._cross(batch) if name == "cross" else self.of(name, batch) for name in self.settings.channels]
        return torch.cat(found, 1) if found else None

    def _cross(self, batch: Batch) -> torch.Tensor:
        process = self.model.process
        later = (batch.t + self.settings.time_shift).clamp_max(process.length - 1)
        noisy = process.diffuse(self.model.inside(batch.clean), later, batch.eps)
        return lmi_map(batch.clean, self.model.outside(noisy), self.options)


class SourceGuide(SourceMaps):
    """The condition when translating `source` [B, 1, H, W]; maps of the source alone are made once."""

    def __init__(self, model: DiffusionModel, source: torch.Tensor):
        self.options = lmi_options(model.settings, model.settings.normalise_sample)
        self.channels, self.source = model.settings.channels, source
        super().__init__(maps_of_clean(model.settings, self.options), source)
        self.tensors = (source, *self.tensors)

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor | None:
        """Channels [B, k, H, W] for a noisy image; None if there are none."""
        found = [
            lmi_map(self.source, noisy, self.options) if name == "cross" else self.fixed[name] for name in self.channels
        ]
        return torch.cat(found, 1) if found else None
