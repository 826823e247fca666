"""Regression by a U-Net: paired, one evaluation, the reference that is hardest to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.paired.method import PairedMethod
from xmodbench.learning.paired.settings import LIKE_DIFFUSION, SHORT, PairedSettings

if TYPE_CHECKING:
    from torch import nn

    from xmodbench.learning.gan.game import Game

PLAIN: dict[str, Any] = {
    "loss": "l1",
    "adversarial": 0.0,
    "discriminator_width": 64,
    "discriminator_layers": 3,
    "judge_rate": 2e-4,
}
YODA: dict[str, Any] = {
    "network": "yoda",
    "width": 128,
    "dropout": 0.0,
    "epochs": 20_000,
    "batch_size": 96,
    "learning_rate": 1e-4,
    "last_rate": 1e-4,
    "weight_decay": 0.0,
    "flip": 0.0,
    "loss": "l2",
}
ADVERSARIAL = 0.01  # as pix2pix weighs them: a hundred times the error


class RegressionSettings(PairedSettings):
    """Options of regression; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "l1": {**LIKE_DIFFUSION, **PLAIN},
        "l1_adversarial": {**LIKE_DIFFUSION, **PLAIN, "adversarial": ADVERSARIAL},
        "yoda": {**LIKE_DIFFUSION, **PLAIN, **YODA},
        "short": {**SHORT, **PLAIN, "discriminator_width": 16, "judge_rate": 1e-3},
    }

    preset: Literal["l1", "l1_adversarial", "yoda", "short"] = Field(
        "l1",
        description="l1, l1_adversarial: network and length of the diffusion methods; yoda: YODA's network, loss and rate; "
        "short: minutes on a CPU.",
    )
    loss: Literal["l1", "l2"] | None = Field(
        None, description="l1: the answer tends to the median of what the target may be; l2: to its mean."
    )
    adversarial: float | None = Field(
        None, ge=0, description="Weight of the adversarial loss beside the error's of 1; 0: no judge."
    )
    discriminator_width: int | None = Field(None, ge=4, le=512, description="Judge: channels of the first layer.")
    discriminator_layers: int | None = Field(
        None, ge=1, le=6, description="Judge: halvings of the size (3: 70 x 70 px)."
    )
    judge_rate: float | None = Field(None, gt=0, description="Judge: step size at first.")


class UnetRegression(PairedMethod):
    """A U-Net that answers with the target slice."""

    Config = RegressionSettings

    def game(self, settings: RegressionSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import RegressionGame

        return RegressionGame(settings, device)

    def generator(self, settings: RegressionSettings) -> nn.Module:
        """A U-Net."""
        from .game import network_of

        return network_of(settings)
