"""Conditional flow matching: paired, from noise or from the source to the target in a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.paired.method import PairedMethod
from xmodbench.learning.paired.settings import LIKE_DIFFUSION, SHORT, PairedSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xmodbench.learning.gan.game import Game
    from xmodbench.learning.image_noise import Noise

OWN: dict[str, Any] = {"path": "noise", "data_range": "-1,1", "time_scale": 1000.0, "sampling_steps": 20}
RELEASED: dict[str, Any] = {
    "network": "monai",
    "width": 32,
    "dropout": 0.0,
    "epochs": 300,
    "batch_size": 6,
    "learning_rate": 3e-4,
    "last_rate": 1e-6,
    "weight_decay": 0.0,
    "ema": 0.0,
    "flip": 0.0,
    "zoom": 1.0,
    "data_range": "0,1",
    "time_scale": 1.0,
    "sampling_steps": 300,
}


class FlowSettings(PairedSettings):
    """Options of flow matching; None takes the preset's value."""

    SAMPLING: ClassVar[frozenset[str]] = frozenset({"sampling_steps"})
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "own": {**LIKE_DIFFUSION, **OWN},
        "released_noise": {**RELEASED, "path": "noise"},
        "released_source": {**RELEASED, "path": "source"},
        "short": {**SHORT, **OWN},
    }

    preset: Literal["own", "released_noise", "released_source", "short"] = Field(
        "own",
        description="own: network and length of the diffusion methods; released_noise, released_source: the code of "
        "arXiv 2507.14575; short: minutes on a CPU.",
    )
    path: Literal["noise", "source"] | None = Field(
        None,
        description="Where paths to the target begin: at noise, the source beside it as a channel, or at the source itself, "
        "without noise and without that channel.",
    )
    data_range: Literal["0,1", "-1,1"] | None = Field(None, description="Intensities at the paths' ends (code: 0,1).")
    time_scale: float | None = Field(
        None,
        gt=0,
        description="What times in [0, 1] are multiplied by for their embedding, made for 0..1000 (code: 1).",
    )
    sampling_steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Steps of Euler, an evaluation each; 1 gives the mean of what the target may be.",
    )


class FlowMatching(PairedMethod):
    """Follows the mean velocity of straight paths to the target."""

    Config = FlowSettings
    translation_settings = FlowSettings.SAMPLING

    def game(self, settings: FlowSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import FlowGame

        return FlowGame(settings, device)

    def generator(self, settings: FlowSettings) -> nn.Module:
        """A U-Net."""
        from .game import VelocityNetwork

        return VelocityNetwork(settings)

    def draw(self, network: nn.Module, source: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Translate in the ``sampling_steps`` of this object's own settings."""
        from .game import translated

        return translated(network, source, noise, self.settings.resolved().sampling_steps)
