"""CycleGAN: unpaired translation by cycle consistency (Zhu et al. 2017), with a few source slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.gan.method import FewShotGan
from xmodbench.learning.gan.settings import PUBLISHED, SHARE, SHORT, FewShotSettings

if TYPE_CHECKING:
    from torch import nn

    from xmodbench.learning.gan.game import Game

OWN: dict[str, Any] = {"blocks": 9, "cycle": 10.0, "identity": 0.5, "pool_size": 50, "share": SHARE}


class CycleganSettings(FewShotSettings):
    """Options of CycleGAN; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**PUBLISHED, **OWN},
        "paper_128": {**PUBLISHED, **OWN, "blocks": 6, "identity": 0.0},
        "short": {**SHORT, **OWN, "blocks": 3},
    }

    preset: Literal["released", "paper_128", "short"] = Field(
        "released",
        description="released: the authors' code; paper_128: their paper's for images up to 128 pixels, with 6 blocks and "
        "no identity loss; short: minutes on a CPU, nothing published.",
    )
    blocks: int | None = Field(None, ge=1, le=32, description="Residual blocks of the generators (code: 9).")
    cycle: float | None = Field(None, ge=0, description="Weight of the cycle losses (10).")
    identity: float | None = Field(
        None,
        ge=0,
        description="Weight of the identity losses, relative to `cycle` (code: 0.5, so 5 in all; paper: some tasks only).",
    )
    pool_size: int | None = Field(
        None, ge=0, le=10_000, description="Translations of each kind kept for its discriminator (50)."
    )


class CycleGAN(FewShotGan):
    """Two generators and two discriminators; the generator from source to target is kept."""

    Config = CycleganSettings

    def game(self, settings: CycleganSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import CycleGame

        return CycleGame(settings, device)

    def generator(self, settings: CycleganSettings) -> nn.Module:
        """A generator of residual blocks."""
        from .game import generator_of

        return generator_of(settings)
