"""ILVR: an unconditional target model, refined at each step towards the source's coarse structure (Choi et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from xmodbench.learning.diffusion.borrowing import DiffusionBorrower
from xmodbench.plugins import Run, Settings

if TYPE_CHECKING:
    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise


class IlvrSettings(Settings):
    """Options of ILVR; all of them of translation."""

    sampling_steps: int = Field(
        100, ge=1, le=10_000, description="Steps of the ancestral sampler (authors' demo: 100)."
    )
    factor: int = Field(
        16, ge=2, le=256, description="How many times the coarse part is smaller (authors: 32 at 256 px, so 16 at 128)."
    )
    stop: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the diffusion, at its end, that is left unconditioned (authors: 20 of 100).",
    )
    source_level: Literal["after", "before"] = Field(
        "after",
        description="Level the source is noised to: the one after the step (paper) or before it (authors' code).",
    )
    variance: Literal["fixedlarge", "fixedsmall"] = Field("fixedsmall", description="Noise of the steps.")
    clip_x0: bool = Field(True, description="Clip the estimate of the clean image to its range (authors: yes).")


class ILVR(DiffusionBorrower):
    """Denoises from pure noise; the coarse part follows the source."""

    Config = IlvrSettings
    translation_settings = frozenset(IlvrSettings.model_fields)
    model_plugin = "sdedit"

    def load(self, directory: Path, run: Run) -> None:
        """Read a model of SDEdit; UserError if its process is variance-exploding."""
        self.model = self.lent_model(directory, run, sampler="ancestral")

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images drawn from pure noise; their coarse parts follow the sources `images` [B, 1, H, W]."""
        from .sampler import sample_ilvr

        own = self.settings
        return sample_ilvr(model, noise, images, own.factor, own.stop, own.source_level)
