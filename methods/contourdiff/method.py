"""ContourDiff: zero-shot translation by diffusion conditioned on contours (Chen et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    from typing import Self

    import torch

    from xmodbench.learning.diffusion.maps import Maker
    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise

CONTOURS: dict[str, Any] = {"low_threshold": 80, "high_threshold": 150, "stretch": False}
PUBLISHED: dict[str, Any] = {
    **RELEASED,
    **CONTOURS,
    "data_range": "-1,1",
    "network": "ddpm256",
    "width": 128,
    "dropout": 0.0,
    "epochs": 400,
    "learning_rate": 1e-4,
    "lr_schedule": "one-cycle",
    "loss_reduction": "mean",
    "antithetic": False,
    "ema_decay": 0.0,  # none
    "blur": 0.0,
    "affine": 0.9,
    "sampler": "ddim",
    "sampling_steps": 50,
    "final_noise": False,
}


class ContourdiffSettings(DiffusionSettings):
    """Options of ContourDiff; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**PUBLISHED, "stretch": True},
        "released_consistent": PUBLISHED,
        "short": {**SHORT, **CONTOURS},
        "own": {**OWN, **CONTOURS},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"stretch"}

    preset: Literal["released", "released_consistent", "short", "own"] = Field(
        "released_consistent",
        description="released: the authors' code; released_consistent: without its stretch of each result; short: minutes "
        "on a CPU, nothing published, MIDiffusion's preset short with another condition; own: for data of one's own, as "
        "short, but as long as held-out slices show that it helps.",
    )
    low_threshold: int | None = Field(
        None, ge=0, le=2040, description="Canny: gradient in grey levels that goes on with a contour (code: 80)."
    )
    high_threshold: int | None = Field(
        None, ge=1, le=2040, description="Canny: gradient in grey levels that begins a contour (code: 150)."
    )
    stretch: bool | None = Field(
        None,
        description="Stretch each result by its own minimum and maximum (code: yes). Off by default: one bright pixel "
        "darkens the whole slice, so that intensities no longer mean the same from slice to slice.",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        found = self.resolved()
        if found.low_threshold > found.high_threshold:
            raise ValueError(
                f"low_threshold {found.low_threshold} is above high_threshold {found.high_threshold}; swap them"
            )
        return self


def makers(settings: ContourdiffSettings) -> dict[str, Maker]:
    """How the only channel is made of clean images, or of the source, for resolved settings."""
    from functools import partial

    from .contours import contour_maps

    return {"contours": partial(contour_maps, low=settings.low_threshold, high=settings.high_threshold)}


class ContourDiff(DiffusionMethod):
    """Denoises from pure noise to a target slice; every step sees the source's contours."""

    Config = ContourdiffSettings
    translation_settings = ContourdiffSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices and their own contours."""
        from xmodbench.learning.diffusion.maps import TrainingMaps

        self.train_model(
            train,
            run,
            inputs=2,
            channels_of=lambda model: TrainingMaps(makers(model.settings), train.target, model.settings, run.progress),
        )

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images drawn from pure noise, with the contours of the sources `images` [B, 1, H, W]."""
        from xmodbench.learning.diffusion.maps import SourceMaps
        from xmodbench.learning.diffusion.samplers import sample

        found = sample(model, SourceMaps(makers(model.settings), images), noise)
        if not model.settings.stretch:
            return found
        low, high = found.amin((1, 2, 3), keepdim=True), found.amax((1, 2, 3), keepdim=True)
        return (found - low) / (high - low).clamp_min(1e-6)
