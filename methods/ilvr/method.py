"""ILVR: an unconditional target model, refined at each step towards the source's coarse structure (Choi et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from xmodbench.plugins import METHODS, Borrower, Run, Settings, Supervision, find
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np


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
    variance: Literal["fixedlarge", "fixedsmall"] = Field("fixedsmall", description="Noise of the steps.")
    clip_x0: bool = Field(True, description="Clip the estimate of the clean image to its range (authors: yes).")


class ILVR(Borrower):
    """Denoises from pure noise; the coarse part follows the source."""

    supervision = Supervision.ZERO_SHOT
    Config = IlvrSettings
    translation_settings = frozenset(IlvrSettings.model_fields)
    model_plugin = "sdedit"

    def load(self, directory: Path, run: Run) -> None:
        """Read a model of SDEdit; UserError if its process is variance-exploding."""
        from xmodbench.learning.diffusion import plugin

        from .sampler import check_process

        lender = find(METHODS, self.model_plugin).cls.Config
        check_process(directory)
        own = lender.model_construct(sampler="ancestral", augment_test=False, **dict(self.settings))
        self.model = plugin.load(directory, lender, own, run)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]."""
        from xmodbench.learning.diffusion import plugin

        from .sampler import sample_ilvr

        def draw(images, noise):
            return sample_ilvr(self.model, noise, images, self.settings.factor, self.settings.stop)

        return plugin.translate(self.model, source, generators, draw)
