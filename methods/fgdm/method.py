"""FGDM: zero-shot translation in a few steps from the noised source, guided by its edges (Li et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.errors import UserError
from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    from typing import Self

    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise

FEW_STEPS: dict[str, Any] = {
    "form": "gan",
    "begin": "source",
    "timesteps": 4,
    "schedule": "continuous",
    "beta_start": 0.1,
    "beta_end": 1.0,
    "prediction": "x0",
    "data_range": "0,1",
    "antithetic": False,
    "sampler": "ancestral",
    "sampling_steps": 4,
    "variance": "fixedsmall",
    "final_noise": False,
}
"""The four steps of the denoising diffusion GAN."""
JUDGE: dict[str, Any] = {"judge_width": 64, "judge_blocks": 6, "judge_rate": 1e-4, "r1_gamma": 0.05, "l1": 0.0}
SMALL_JUDGE: dict[str, Any] = {**JUDGE, "judge_width": 8, "judge_blocks": 4, "judge_rate": 5e-4, "l1": 10.0}
PLAIN: dict[str, Any] = {"form": "plain", "begin": "noise"}


class FgdmSettings(DiffusionSettings):
    """Options of FGDM; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {
            **RELEASED,
            **FEW_STEPS,
            **JUDGE,
            "network": "ncsnpp",
            "width": 128,
            "dropout": 0.0,
            "epochs": 200,
            "batch_size": 8,
            "learning_rate": 1.5e-4,
            "lr_schedule": "cosine",
            "flip": 0.0,
            "blur": 0.0,
        },
        "plain": {**RELEASED, **JUDGE, **PLAIN, "final_noise": False},
        "short": {
            **SHORT,
            **FEW_STEPS,
            **SMALL_JUDGE,
            "iterations": 600,
            "learning_rate": 1e-3,
            "lr_schedule": "cosine",
        },
        "short_plain": {**SHORT, **SMALL_JUDGE, **PLAIN},
        "own": {**OWN, **SMALL_JUDGE, **PLAIN},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"begin"}

    preset: Literal["released", "plain", "short", "short_plain", "own"] = Field(
        "released",
        description="released: the authors' denoising diffusion GAN of four steps; plain: MIDiffusion's released_consistent "
        "with edges for its condition; short, short_plain: the same two in minutes on a CPU, nothing published; own: "
        "short_plain for data of one's own, as long as held-out slices show that it helps.",
    )
    form: Literal["gan", "plain"] | None = Field(
        None,
        description="gan: a judge of single steps teaches the network (code); plain: score matching, as MIDiffusion.",
    )
    begin: Literal["noise", "source"] | None = Field(
        None, description="What is denoised: the source, noised to the last time (code), or pure noise."
    )
    judge_width: int | None = Field(
        None, ge=4, le=512, description="Half the channels of the judge's first layer (code: 64)."
    )
    judge_blocks: int | None = Field(None, ge=2, le=8, description="Halvings of the size in the judge (code: 6).")
    judge_rate: float | None = Field(None, gt=0, description="The judge's step size (code: 1e-4).")
    r1_gamma: float | None = Field(None, ge=0, description="Weight of the judge's R1 penalty (code: 0.05).")
    l1: float | None = Field(
        None,
        ge=0,
        description="Weight of the denoised image's mean absolute error beside the judge (code: 0; in minutes a judge alone "
        "teaches nothing).",
    )

    @model_validator(mode="after")
    def _form(self) -> Self:
        found = self.resolved()
        if found.form == "gan" and (found.process != "vp" or found.prediction != "x0"):
            raise ValueError("form 'gan' needs process 'vp' and prediction 'x0'")
        if found.form == "gan" and found.accumulation > 1:
            raise ValueError("form 'gan' takes one batch a step: set accumulation: 1 and a larger batch_size")
        if found.form == "gan" and found.held_out:
            raise ValueError("form 'gan' has no loss on held-out slices; set held_out: 0, or form: plain")
        return self


class FGDM(DiffusionMethod):
    """Denoises the noised source; every step sees the source's edges."""

    Config = FgdmSettings
    translation_settings = FgdmSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices and their own edges.

        Raises:
            UserError: slices are too small for the judge.
        """
        from .game import GameTraining, training_edges

        settings, side = self.settings.resolved(), min(train.target.shape[2:])
        game = settings.form == "gan"
        if game and side < 2**settings.judge_blocks:
            problem = f"slices of {side} pixels are too small for {settings.judge_blocks} halvings"
            raise UserError(problem, "judge_blocks", f"use at most {side.bit_length() - 1}, or larger slices")
        self.train_model(
            train,
            run,
            inputs=2,
            channels_of=lambda model: training_edges,
            training=GameTraining if game else None,
        )

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images denoised from the sources `images` [B, 1, H, W], or from pure noise, with the sources' edges."""
        from xmodbench.learning.diffusion.maps import SourceMaps
        from xmodbench.learning.diffusion.samplers import sample

        from .edges import source_edges

        guide = images if model.settings.begin == "source" else None
        return sample(model, SourceMaps({"edges": source_edges}, images), noise, guide=guide)
