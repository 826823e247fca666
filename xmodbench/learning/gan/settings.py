"""Settings every adversarial method has, and how a preset fills in those left out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from xmodbench.learning.training.presets import PresetSettings


class GanSettings(PresetSettings):
    """Options of networks and training; None takes the preset's value."""

    # networks
    width: int | None = Field(None, ge=4, le=512, multiple_of=4, description="Generator: channels of the first layer.")
    discriminator_width: int | None = Field(
        None, ge=4, le=512, description="Discriminator: channels of the first layer."
    )
    discriminator_layers: int | None = Field(
        None,
        ge=1,
        le=6,
        description="Discriminator: halvings of the size; 3 sees patches of 70 x 70 pixels, 2 of 34 x 34.",
    )
    init_gain: float | None = Field(
        None, gt=0, le=1, description="Scale of the initial weights; smaller ones make inverted contrast less likely."
    )

    # training
    epochs: int | None = Field(None, ge=1, description="Epochs with the full learning rate.")
    decay_epochs: int | None = Field(None, ge=0, description="Epochs after these in which it falls linearly.")
    iterations: int | None = Field(
        None, ge=1, description="Steps, instead of epochs; the learning rate falls in their second half."
    )
    batch_size: int | None = Field(None, ge=1, le=256, description="Slices per step.")
    learning_rate: float | None = Field(None, gt=0, description="Adam's step size.")
    beta1: float | None = Field(None, ge=0, lt=1, description="Adam's decay of the first moment; of the second: 0.999.")
    zoom: float | None = Field(
        None, ge=1, le=2, description="Slices are enlarged by this and cropped back at random (published: 286/256)."
    )
    zoom_in_decay: bool | None = Field(
        None,
        description="Enlarge and crop while the learning rate falls, too (released CycleGAN and pix2pix: yes; CUT: no).",
    )
    flip: float | None = Field(None, ge=0, le=1, description="Probability of a horizontal flip.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: automatic mixed precision (published: fp32).")
    checkpoint_s: float = Field(
        300.0, gt=0, description="The most seconds between two saves of the state for resuming; the first come sooner."
    )
    snapshots: int = Field(5, ge=0, le=200, description="Pictures of translated source slices taken over training.")


class FewShotSettings(GanSettings):
    """Options of methods that see all target slices and a few of the source, unpaired."""

    share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the source training slices the method sees, drawn by seed; smaller draws are part of larger "
        "ones (MIDiffusion's comparison: 0.02 for Gold Atlas, 0.06 for CuRIOUS, 0.11 for IXI).",
    )
    slices: int | None = Field(None, ge=1, description="Number of source slices, instead of a share.")

    def source_slices(self, available: int) -> int:
        """How many of the source slices there are the method sees: the share, rounded, at least one."""
        return self.slices or max(1, round(self.resolved().share * available))


PUBLISHED: dict[str, Any] = {
    "width": 64,
    "discriminator_width": 64,
    "discriminator_layers": 3,
    "init_gain": 0.02,
    "epochs": 100,
    "decay_epochs": 100,
    "batch_size": 1,
    "learning_rate": 2e-4,
    "beta1": 0.5,
    "zoom": 286 / 256,
    "zoom_in_decay": True,
    "flip": 0.5,
}
"""What the released CycleGAN, pix2pix and CUT have in common."""

SHORT: dict[str, Any] = {
    **PUBLISHED,
    "width": 16,
    "discriminator_width": 16,
    "iterations": 400,
    "learning_rate": 1e-3,
}
"""For training of minutes on a CPU: nothing published, so that a demonstration has something to show."""

SHARE = 0.11
"""The largest share of the published comparison (IXI); it differs between data sets, so a config should say it."""
