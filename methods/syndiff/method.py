"""SynDiff: adversarial diffusion in four steps from unpaired slices (Özbey et al. 2023), all of them or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.errors import UserError
from xmodbench.learning.gan.method import FewShotGan
from xmodbench.learning.gan.settings import SHARE, FewShotSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xmodbench.learning.gan.game import Game
    from xmodbench.learning.image_noise import Noise

RELEASED: dict[str, Any] = {
    "width": 64,
    "multipliers": (1, 1, 2, 2, 4, 4),
    "blocks": 2,
    "latent": 100,
    "latent_width": 256,
    "translator_width": 64,
    "translator_blocks": 6,
    "discriminator_width": 64,
    "discriminator_layers": 3,
    "time_width": 64,
    "time_layers": 6,
    "time_embedding": 256,
    "sampling_steps": 4,
    "init_gain": 0.02,
    "epochs": 500,
    "decay_epochs": 0,
    "batch_size": 1,
    "learning_rate": 1.6e-4,
    "judge_rate": 1e-4,
    "last_rate": 1e-5,
    "beta1": 0.5,
    "beta2": 0.9,
    "ema": 0.999,
    "zoom": 1.0,
    "zoom_in_decay": True,
    "flip": 0.0,
    "cycle": 0.5,
    "l1": 0.5,
    "r1": 1.0,
    "r1_every": 10,
}


class SyndiffSettings(FewShotSettings):
    """Options of SynDiff; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**RELEASED, "share": SHARE},
        "unpaired": {**RELEASED, "share": 1.0},
        "short": {
            **RELEASED,
            "share": SHARE,
            "width": 16,
            "multipliers": (1, 2, 4),
            "blocks": 1,
            "latent_width": 64,
            "translator_width": 16,
            "translator_blocks": 3,
            "discriminator_width": 16,
            "time_width": 8,
            "time_layers": 4,
            "time_embedding": 64,
            "iterations": 300,
            "learning_rate": 1e-3,
            "judge_rate": 5e-4,
            "ema": 0.99,
            "flip": 0.5,
        },
    }

    preset: Literal["released", "unpaired", "short"] = Field(
        "released",
        description="released: the authors' code, with a share of the source's slices; unpaired: with all of them, as "
        "published; short: minutes on a CPU, nothing published.",
    )
    multipliers: tuple[int, ...] | None = Field(
        None, min_length=2, max_length=8, description="Diffusive generator: channels of each level over `width`."
    )
    blocks: int | None = Field(None, ge=1, le=8, description="Diffusive generator: residual blocks of a level (2).")
    attention_level: int | None = Field(
        None,
        ge=0,
        le=7,
        description="Its level with self-attention; if left out, that of 16 pixels, as published.",
    )
    latent: int | None = Field(None, ge=1, le=1024, description="Numbers of its latent vector (100).")
    latent_width: int | None = Field(None, ge=4, le=1024, description="Width of what they are turned into (256).")
    translator_width: int | None = Field(
        None, ge=4, le=512, description="Translators: channels of the first layer (64)."
    )
    translator_blocks: int | None = Field(None, ge=1, le=32, description="Translators: residual blocks (6).")
    time_width: int | None = Field(
        None, ge=4, le=512, description="Diffusive discriminators: half the channels of the first layer (64)."
    )
    time_layers: int | None = Field(
        None,
        ge=1,
        le=8,
        description="Diffusive discriminators: halvings of the size (6, so slices of 64 pixels at least).",
    )
    time_embedding: int | None = Field(
        None, ge=4, le=1024, multiple_of=4, description="Diffusive discriminators: width of what embeds the time (256)."
    )
    sampling_steps: int | None = Field(
        None, ge=1, le=16, description="Steps of the diffusion, in training and translation (4)."
    )
    judge_rate: float | None = Field(None, gt=0, description="Discriminators: Adam's step size at first (1e-4).")
    last_rate: float | None = Field(
        None, gt=0, description="All networks: step size in the end, along a cosine (1e-5)."
    )
    beta2: float | None = Field(None, ge=0, lt=1, description="Adam's decay of the second moment (0.9).")
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of the averaged weights, which translate (0.999); it grows from 0.1 at first.",
    )
    cycle: float | None = Field(None, ge=0, description="Weight of the cycle loss (0.5).")
    l1: float | None = Field(None, ge=0, description="Weight of the denoised image's mean absolute error (0.5).")
    r1: float | None = Field(
        None, ge=0, description="Gradient penalty of the diffusive discriminators (1; the code's default is 0.05)."
    )
    r1_every: int | None = Field(None, ge=1, description="Steps from one penalty to the next (10).")


class SynDiff(FewShotGan):
    """Diffusion in four large steps, conditioned on translations that are learnt along with it."""

    Config = SyndiffSettings

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on all target slices and the drawn source slices.

        Raises:
            UserError: ``time_layers`` is more than the slices allow.
        """
        from xmodbench.learning.denoising_gan.ncsnpp import attention_level
        from xmodbench.learning.gan import plugin

        settings, shape = self.settings.resolved(), train.target.shape[2:]
        deepest = min(shape).bit_length() - 1
        if settings.time_layers > deepest:
            problem = f"slices of {min(shape)} pixels are too small for {settings.time_layers} halvings"
            raise UserError(problem, "time_layers", f"use at most {deepest}")
        if settings.attention_level is None:
            level = attention_level(shape, len(settings.multipliers))
            settings = settings.model_copy(update={"attention_level": level})
        self.model = plugin.fit(settings, self.game, train, run, paired=False, draw=self.draw)

    def game(self, settings: SyndiffSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import SyndiffGame

        return SyndiffGame(settings, device)

    def generator(self, settings: SyndiffSettings) -> nn.Module:
        """The diffusive generator of the target."""
        from .game import DiffusiveGenerator

        return DiffusiveGenerator(settings)

    def draw(self, network: nn.Module, source: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translate in as many steps as the model was trained for."""
        from .game import translated

        return translated(network, source, noise, network.steps)
