"""Contrast-randomised target-to-target training: zero-shot translation by having seen every contrast but the source's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    from typing import Self

    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise

CONTRASTS: dict[str, Any] = {
    "form": "regression",
    "monotone": 1 / 3,
    "inverted": 1 / 3,
    "places": 0.25,
    "classes": 1 / 3,
    "background": 0.8,
    "bias": 0.3,
    "gamma": 0.2,
    "blur_px": 1.0,
    "noise": 0.05,
    "loss": "l2",
    "gradient_weight": 0.0,
    "structure_weight": 0.1,
    "mirrored": True,
    "affine": 0.9,
}


class ContrastRandomisedSettings(DiffusionSettings):
    """Options of contrast-randomised training; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "full": {
            **RELEASED,
            **CONTRASTS,
            "prediction": "v",
            "data_range": "-1,1",
            "dropout": 0.0,
            "batch_size": 8,
            "learning_rate": 2e-4,
            "lr_schedule": "one-cycle",
            "loss_reduction": "mean",
            "ema_decay": 0.999,
            "ema_warmup": True,
            "blur": 0.0,
            "sampler": "ddim",
            "sampling_steps": 50,
            "final_noise": False,
        },
        "short": {**SHORT, **CONTRASTS, "iterations": 1000},
        "own": {**OWN, **CONTRASTS},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"mirrored"}

    preset: Literal["full", "short", "own"] = Field(
        "full",
        description="full: MIDiffusion's network and length, for a GPU; short: minutes on a CPU; own: for data of one's "
        "own, as short, but as long as held-out slices show that it helps.",
    )
    form: Literal["regression", "diffusion"] | None = Field(
        None,
        description="regression: one evaluation, the most likely slice; diffusion: a slice drawn by a diffusion model that "
        "sees the source at every step.",
    )
    monotone: float | None = Field(
        None, ge=0, le=1, description="Share of the functions of grey levels that rise throughout (1/3)."
    )
    inverted: float | None = Field(None, ge=0, le=1, description="Share of them that fall throughout (1/3).")
    places: float | None = Field(
        None, ge=0, le=1, description="Share of the slices under two functions, each in its own smooth region (0.25)."
    )
    classes: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the slices whose classes of grey levels (k-means) each get a random one, in place of a "
        "function (1/3).",
    )
    background: float | None = Field(
        None, ge=0, le=1, description="Share of the slices in which the air around the body stays black (0.8)."
    )
    bias: float | None = Field(None, ge=0, le=2, description="Largest logarithm of the bias field's deviation (0.3).")
    gamma: float | None = Field(None, ge=0, le=2, description="Standard deviation of the logarithm of gamma (0.2).")
    blur_px: float | None = Field(None, ge=0, le=5, description="Largest blur in pixels (1).")
    noise: float | None = Field(None, ge=0, le=1, description="Largest noise (0.05).")
    loss: Literal["l1", "l2"] | None = Field(
        None, description="Regression: l1 learns medians, l2 means, and sooner (l2)."
    )
    gradient_weight: float | None = Field(
        None, ge=0, le=10, description="Regression: weight of the errors of differences between neighbours (0)."
    )
    structure_weight: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Regression: weight of 1 less the local correlation with the slice, for which faint contrasts within an "
        "organ count as much as strong ones (0.1).",
    )
    mirrored: bool | None = Field(
        None, description="Regression: average with the translation of the mirror image, a second evaluation (yes)."
    )

    def resolved(self) -> Any:
        """As ever; regression's ``sampling_steps`` are its evaluations, and one sample is all there is, without noise."""
        found = super().resolved()
        if found.form != "regression":
            return found
        return found.model_copy(update={"sampling_steps": 1 + bool(found.mirrored), "samples": 1})

    @model_validator(mode="after")
    def _shares(self) -> Self:
        found = self.resolved()
        if found.monotone + found.inverted > 1 + 1e-9:
            raise ValueError(f"monotone {found.monotone:g} and inverted {found.inverted:g} are more than 1 together")
        return self


class ContrastRandomised(DiffusionMethod):
    """Learns to give a slice the target's contrast, whatever contrast it comes in."""

    Config = ContrastRandomisedSettings
    translation_settings = ContrastRandomisedSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices, each shown in a new random contrast at every step."""
        from .regression import RandomContrasts, RegressionTraining

        regression = self.settings.resolved().form == "regression"
        self.train_model(
            train,
            run,
            inputs=1 if regression else 2,
            channels_of=lambda model: RandomContrasts(model.settings),
            training=RegressionTraining if regression else None,
        )

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The sources `images` [B, 1, H, W] in the target's contrast; only the diffusion takes noise."""
        from xmodbench.learning.diffusion.maps import SourceMaps
        from xmodbench.learning.diffusion.samplers import sample

        from .regression import as_seen, regressed

        if model.settings.form == "regression":
            return regressed(model, images)
        return sample(model, SourceMaps({"source": as_seen}, images), noise)
