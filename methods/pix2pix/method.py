"""pix2pix: paired translation, a reference for what supervision can reach (Isola et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.errors import UserError
from xmodbench.learning.gan.method import GanMethod
from xmodbench.learning.gan.settings import PUBLISHED, SHORT, GanSettings
from xmodbench.plugins import Run, Supervision, TrainData
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

OWN: dict[str, Any] = {"norm": "batch", "l1": 100.0, "test_dropout": True}


class Pix2pixSettings(GanSettings):
    """Options of pix2pix; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**PUBLISHED, **OWN},
        "short": {**SHORT, **OWN, "iterations": 600, "norm": "instance", "test_dropout": False},
    }

    preset: Literal["released", "short"] = Field(
        "released", description="released: the authors' code; short: minutes on a CPU, nothing published."
    )
    depth: int | None = Field(
        None,
        ge=5,
        le=10,
        description="Halvings of the U-Net; if left out, as many as bring the training slices to one pixel (128: 7, "
        "256: 8), 5 to 8.",
    )
    norm: Literal["batch", "instance"] | None = Field(
        None,
        description="Normalisation (released: batch, of one slice). In translation each slice has its own statistics.",
    )
    l1: float | None = Field(None, ge=0, description="Weight of the mean absolute error (100).")
    test_dropout: bool | None = Field(
        None, description="Keep dropout on in translation: the method's only noise (paper: yes)."
    )


class Pix2pix(GanMethod):
    """A U-Net that must come close to the true slice and look real beside its source."""

    supervision = Supervision.PAIRED
    Config = Pix2pixSettings

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on all pairs.

        Raises:
            UserError: ``depth`` is more than the slices allow.
        """
        from xmodbench.learning.gan import plugin

        from .game import Pix2pixGame
        from .unet import depth_for

        settings, shape = self.settings.resolved(), train.target.shape[2:]
        if settings.depth is None:
            settings = settings.model_copy(update={"depth": depth_for(shape)})
        deepest = (min(shape) - 1).bit_length()
        if settings.depth > deepest:
            problem = f"slices of {min(shape)} pixels are too small for {settings.depth} halvings"
            raise UserError(problem, "depth", f"use at most {deepest}" if deepest >= 5 else "use larger slices")
        self.model = plugin.fit(settings, Pix2pixGame, train, run, paired=True, draw=self.draw)

    def generator(self, settings: Pix2pixSettings) -> nn.Module:
        """A U-Net."""
        from .game import generator_of

        return generator_of(settings)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]; dropout, where kept, is drawn from each slice's generator."""
        return self.model.translate(source, generators, self.draw, dropout=self.model.settings.test_dropout)
