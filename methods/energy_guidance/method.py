"""Training-free guidance of an unconditional target model by an energy of the source and the predicted image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.learning.diffusion.borrowing import DiffusionBorrower
from xmodbench.plugins import Run

from .settings import EnergyGuidanceSettings

if TYPE_CHECKING:
    import torch

    from xmodbench.learning.diffusion.guided import Energy
    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise


class EnergyGuidance(DiffusionBorrower):
    """Denoises; each step also follows the gradient towards a predicted image with the structure of the source."""

    Config = EnergyGuidanceSettings
    translation_settings = frozenset(EnergyGuidanceSettings.model_fields)
    model_plugin = "sdedit"

    def load(self, directory: Path, run: Run) -> None:
        """Read a model of SDEdit; UserError if its process is variance-exploding."""
        model = self.lent_model(directory, run, sampler="ancestral", weights="fp32")
        model.network.requires_grad_(False)
        self.model = model

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translations of sources [B, 1, H, W] in [0, 1]."""
        from xmodbench.learning.diffusion.guided import Guidance, sample_guided

        s = self.settings
        guidance = Guidance(
            s.rule, s.strength, (s.guided_below, s.guided_from), s.repeats, (s.travel_below, s.travel_from), s.eta
        )
        # a copy: replayed evaluations on a GPU have no gradients
        return sample_guided(replace(model), noise, self.energy(images), guidance, images if s.start < 1 else None)

    def energy(self, source: torch.Tensor) -> Energy:
        """That of the settings, of images beside `source` [B, 1, H, W]."""
        from xmodbench.learning.energies.gradients import gradient_correlation_energy, ngf_energy
        from xmodbench.learning.energies.lmi import lmi_energy
        from xmodbench.learning.energies.mind import mind_energy

        s = self.settings
        known = {
            "lmi": partial(
                lmi_energy, window=s.lmi_window, bins=s.lmi_bins, bandwidth=s.lmi_bandwidth, stride=s.lmi_stride
            ),
            "mind": partial(mind_energy, neighbours=s.mind_neighbours, sigma=s.mind_sigma, distance=s.mind_distance),
            "ngf": partial(ngf_energy, edge=s.ngf_edge),
            "gradient_correlation": gradient_correlation_energy,
        }
        return partial(known[s.energy], source)
