"""UNSB: a Schrödinger bridge in a few steps between unpaired slices (Kim et al. 2024), all of the source's or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.learning.gan.method import FewShotGan
from xmodbench.learning.gan.settings import PUBLISHED, SHARE, SHORT, FewShotSettings

if TYPE_CHECKING:
    from typing import Self

    import torch
    from torch import nn

    from xmodbench.learning.gan.game import Game
    from xmodbench.learning.image_noise import Noise

OWN: dict[str, Any] = {
    "blocks": 9,
    "time_conditioned": False,
    "steps": 5,
    "tau": 0.01,
    "bridge": 1.0,
    "nce": 1.0,
    "temperature": 0.07,
    "patches": 256,
    "projection_width": 256,
    "zoom_in_decay": False,
    "share": SHARE,
}
RELEASED: dict[str, Any] = {**PUBLISHED, **OWN, "epochs": 200, "decay_epochs": 200}


class UnsbSettings(FewShotSettings):
    """Options of UNSB; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": RELEASED,
        "unpaired": {**RELEASED, "share": 1.0},
        "intended": {**RELEASED, "time_conditioned": True},
        "short": {**SHORT, **OWN, "blocks": 3, "projection_width": 64, "time_conditioned": True},
    }

    SAMPLING: ClassVar[frozenset[str]] = frozenset({"sampling_steps"})

    preset: Literal["released", "unpaired", "intended", "short"] = Field(
        "released",
        description="released: the authors' code, with a few source slices; unpaired: with all of them, as published; "
        "intended: with a generator that sees the time, as described in the paper but not done by the code; short: minutes "
        "on a CPU, nothing published.",
    )
    blocks: int | None = Field(None, ge=1, le=32, description="Residual blocks of the generator (code: 9).")
    time_conditioned: bool | None = Field(
        None,
        description="The generator sees the time (paper: yes; code: no, since a mistake drops half of each block), and its "
        "blocks begin open to the latent vector.",
    )
    steps: int | None = Field(None, ge=1, le=50, description="Steps of the bridge (code: 5).")
    sampling_steps: int | None = Field(
        None,
        ge=1,
        le=50,
        description="The translation is what the generator sees after so many of the steps; if left out, after all of "
        "them. The authors report 1 to 5, and that more of them change more than they should.",
    )
    tau: float | None = Field(None, ge=0, le=1, description="Entropy: variance of the bridge's noise (code: 0.01).")
    bridge: float | None = Field(
        None, ge=0, description="Weight of the bridge's loss (README's commands: 1; the code's default: 0.1)."
    )
    nce: float | None = Field(None, ge=0, description="Weight of the contrastive loss (1).")
    temperature: float | None = Field(None, gt=0, description="Temperature of the contrast (0.07).")
    patches: int | None = Field(None, ge=2, le=4096, description="Positions compared in each layer (256).")
    projection_width: int | None = Field(None, ge=8, le=1024, description="Units of the projections (256).")

    @model_validator(mode="after")
    def _walkable(self) -> Self:
        found = self.resolved()
        if found.sampling_steps > found.steps:
            raise ValueError(f"sampling_steps {found.sampling_steps} is more than the bridge's steps, {found.steps}")
        return self

    def resolved(self) -> Any:
        """A copy in which every option has its value; the whole bridge is walked unless said otherwise."""
        found = super().resolved()
        return found if self.sampling_steps else found.model_copy(update={"sampling_steps": found.steps})


class UNSB(FewShotGan):
    """A generator that sees the end of a bridge from ever nearer, judged at each time."""

    Config = UnsbSettings
    translation_settings = UnsbSettings.SAMPLING

    def game(self, settings: UnsbSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import UnsbGame

        return UnsbGame(settings, device)

    def generator(self, settings: UnsbSettings) -> nn.Module:
        """A generator whose blocks see a latent vector."""
        from .game import generator_of

        return generator_of(settings)

    def draw(self, network: nn.Module, source: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Walk the bridge for as many evaluations as are asked for."""
        from .game import translated

        return translated(network, source, self.settings.resolved().sampling_steps, noise)
