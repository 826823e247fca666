"""EGSDE without its source-dependent energy: SDEdit's chain, held to the source's coarse structure (Zhao et al. 2022)."""

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


class EgsdeZeroShotSettings(Settings):
    """Options of EGSDE's zero-shot form; all of them of translation."""

    start: float = Field(
        0.5, gt=0, le=1, description="M: share of the diffusion the source is noised by (published: 0.5)."
    )
    repeats: int = Field(
        1, ge=1, le=20, description="K: passes, each beginning with the last one's result (published: 1)."
    )
    sampling_steps: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="Steps of the whole diffusion, of which those below `start` are taken (1000).",
    )
    lambda_i: float = Field(2.0, ge=0, description="Weight of the faithful energy (published: 2); 0 is SDEdit.")
    factor: int = Field(
        16,
        ge=2,
        le=256,
        description="N: how many times the coarse part is smaller (published: 32 at 256 px, so 16 at 128).",
    )
    kernel: Literal["linear", "cubic"] = Field(
        "linear", description="Of the resampling that leaves the coarse part (authors' code: linear; cubic: ILVR's)."
    )
    variance: Literal["fixedsmall", "fixedlarge"] = Field(
        "fixedsmall", description="Noise of the steps (authors' configurations: fixedsmall)."
    )
    clip_x0: bool = Field(False, description="Clip the estimate of the clean image to its range (authors: no).")


class EgsdeZeroShot(DiffusionBorrower):
    """Noises the source and denoises it; each step pulls the coarse part towards that of the source, noised alike."""

    Config = EgsdeZeroShotSettings
    translation_settings = frozenset(EgsdeZeroShotSettings.model_fields)
    model_plugin = "sdedit"

    def load(self, directory: Path, run: Run) -> None:
        """Read a model of SDEdit; UserError if its process is variance-exploding."""
        self.model = self.lent_model(directory, run, sampler="ancestral", final_noise=False)

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translations of sources [B, 1, H, W] in [0, 1]."""
        from xmodbench.learning.diffusion.egsde import faithful_gradient, sample_egsde

        own = self.settings
        return sample_egsde(model, noise, images, [(own.lambda_i, faithful_gradient(own.factor, own.kernel))])
