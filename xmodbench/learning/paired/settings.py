"""Settings of methods that train one U-Net on pairs of slices."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.training.presets import PresetSettings


class PairedSettings(PresetSettings):
    """Options of network and training; None takes the preset's value."""

    decay_epochs: ClassVar[int] = 0
    zoom_in_decay: ClassVar[bool] = True

    # network
    network: Literal["ddpm", "adm", "small", "monai", "yoda"] | None = Field(
        None,
        description="ddpm, adm: as the diffusion methods; monai: flow matching's released one; yoda: that of YODA; small: "
        "short CPU training.",
    )
    width: int | None = Field(
        None, ge=8, le=512, multiple_of=8, description="Channels of the first level (monai: 32, ddpm: 64, yoda: 128)."
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="Dropout before the second convolution of every block.")

    # training
    iterations: int | None = Field(None, ge=1, description="Optimiser steps, instead of epochs.")
    epochs: int | None = Field(None, ge=1, description="Passes over the pairs.")
    batch_size: int | None = Field(None, ge=1, le=1024, description="Pairs per step.")
    learning_rate: float | None = Field(None, gt=0, description="AdamW's step size at first.")
    last_rate: float | None = Field(
        None, gt=0, description="Its step size in the end, along half a cosine; that of the beginning is constant."
    )
    weight_decay: float | None = Field(None, ge=0, description="AdamW's; 0 is Adam.")
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of the averaged weights, which translate; it grows from 0.1 at first. 0: none.",
    )
    flip: float | None = Field(None, ge=0, le=1, description="Probability of a horizontal flip, of both slices.")
    zoom: float | None = Field(
        None, ge=1, le=2, description="Both slices are enlarged by this and cropped back at the same random place."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: automatic mixed precision.")
    checkpoint_s: float = Field(
        300.0, gt=0, description="The most seconds between two saves of the state for resuming; the first come sooner."
    )
    snapshots: int = Field(5, ge=0, le=200, description="Pictures of translated source slices taken over training.")


LIKE_DIFFUSION: dict[str, Any] = {
    "network": "ddpm",
    "width": 64,
    "dropout": 0.1,
    "epochs": 1000,
    "batch_size": 4,
    "learning_rate": 2e-4,
    "last_rate": 1e-6,
    "weight_decay": 0.01,
    "ema": 0.999,
    "flip": 0.5,
    "zoom": 1.0,
}
"""Network, passes and batches of the diffusion methods, so that only what is learned differs; not published."""

SHORT: dict[str, Any] = {
    **LIKE_DIFFUSION,
    "network": "small",
    "width": 16,
    "dropout": 0.0,
    "iterations": 600,
    "learning_rate": 2e-3,
    "ema": 0.99,
}
"""For training of minutes on a CPU: nothing published."""
