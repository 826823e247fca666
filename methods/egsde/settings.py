"""Settings of EGSDE's full form. Imports neither NumPy nor torch, as plugins must not."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from xmodbench.learning.diffusion.settings import RELEASED, SHORT, DiffusionSettings

PUBLISHED: dict[str, Any] = {
    "final_noise": False,
    "variance": "fixedsmall",
    "start": 0.5,
    "repeats": 1,
    "lambda_s": 500.0,
    "lambda_i": 2.0,
    "factor": 16,
    "kernel": "linear",
    "share": 0.11,
    "classifier_width": 128,
    "classifier_blocks": 2,
    "classifier_iterations": 5000,
    "classifier_batch": 32,
    "classifier_rate": 3e-4,
    "classifier_weight_decay": 0.05,
    "classifier_times": 1.0,
}


class EgsdeSettings(DiffusionSettings):
    """Options of EGSDE; None takes the preset's value. Those of network and training are SDEdit's."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {**RELEASED, **PUBLISHED},
        "short": {
            **SHORT,
            **PUBLISHED,
            "sampler": "ancestral",
            "sampling_steps": 50,
            "factor": 8,
            "classifier_width": 16,
            "classifier_blocks": 1,
            "classifier_iterations": 200,
            "classifier_batch": 8,
            "classifier_rate": 3e-3,
            "classifier_times": 0.5,
        },
    }
    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {
        *("start", "repeats", "lambda_s", "lambda_i", "factor", "kernel")
    }
    SOURCE: ClassVar[frozenset[str]] = frozenset({"share", "slices"})
    """Options that say how much of the source is seen."""

    preset: Literal["published", "short"] = Field(
        "published",
        description="published: EGSDE's settings, on the model of sdedit's preset released_consistent; short: minutes on a "
        "CPU, nothing published.",
    )

    # the source
    share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the source training slices that the classifier sees, drawn by seed (published: all, 1; here "
        "0.11, as for CycleGAN and CUT).",
    )
    slices: int | None = Field(None, ge=1, description="Number of source slices, instead of a share.")

    # the domain classifier
    classifier_width: int | None = Field(
        None, ge=8, le=512, multiple_of=8, description="Channels of its first level (128)."
    )
    classifier_blocks: int | None = Field(None, ge=1, le=4, description="Residual blocks of each of its levels (2).")
    classifier_iterations: int | None = Field(
        None, ge=1, description="Steps (5000, from weights of ImageNet, which are not used here)."
    )
    classifier_batch: int | None = Field(
        None, ge=2, le=4096, multiple_of=2, description="Slices per step, half of them the source's (32)."
    )
    classifier_rate: float | None = Field(None, gt=0, description="AdamW's first step size; it falls linearly (3e-4).")
    classifier_weight_decay: float | None = Field(None, ge=0, description="AdamW's weight decay (0.05).")
    classifier_times: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the diffusion, from the clean image up, at which it learns (published: all, 1); it is asked "
        "below `start` only.",
    )

    # sampling
    start: float | None = Field(
        None, gt=0, le=1, description="M: share of the diffusion the source is noised by (published: 0.5)."
    )
    repeats: int | None = Field(
        None, ge=1, le=20, description="K: passes, each beginning with the last one's result (published: 1)."
    )
    lambda_s: float | None = Field(
        None, ge=0, description="Weight of the realistic energy, which the classifier makes (published: 500)."
    )
    lambda_i: float | None = Field(None, ge=0, description="Weight of the faithful energy (published: 2).")
    factor: int | None = Field(
        None,
        ge=2,
        le=256,
        description="N: how many times the coarse part is smaller (published: 32 at 256 px, so 16 at 128 and 8 at 64).",
    )
    kernel: Literal["linear", "cubic"] | None = Field(
        None, description="Of the resampling that leaves the coarse part (authors' code: linear; cubic: ILVR's)."
    )

    def source_slices(self, available: int) -> int:
        """How many of the source slices there are the classifier sees: the share, rounded, at least one."""
        return self.slices or max(1, round(self.resolved().share * available))

    @model_validator(mode="after")
    def _ancestral(self) -> Self:
        r = self.resolved()
        if r.process != "vp" or r.sampler != "ancestral":
            raise ValueError("EGSDE is defined for process 'vp' and sampler 'ancestral'")
        return self


PRETRAINING = frozenset(DiffusionSettings.model_fields) - DiffusionSettings.SAMPLING
"""Options that decide the diffusion model."""
