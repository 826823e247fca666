"""CUT: one-sided unpaired translation by patchwise contrast (Park et al. 2020), with a few source slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.gan.method import FewShotGan
from xmodbench.learning.gan.settings import PUBLISHED, SHARE, SHORT, FewShotSettings

if TYPE_CHECKING:
    from torch import nn

    from xmodbench.learning.gan.game import Game

OWN: dict[str, Any] = {
    "blocks": 9,
    "nce": 1.0,
    "nce_identity": True,
    "flip_equivariance": False,
    "temperature": 0.07,
    "patches": 256,
    "projection_width": 256,
    "zoom_in_decay": False,
    "share": SHARE,
}


class CutSettings(FewShotSettings):
    """Options of CUT; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cut": {**PUBLISHED, **OWN, "epochs": 200, "decay_epochs": 200},
        "fastcut": {
            **PUBLISHED,
            **OWN,
            "epochs": 150,
            "decay_epochs": 50,
            "nce": 10.0,
            "nce_identity": False,
            "flip_equivariance": True,
        },
        "short": {**SHORT, **OWN, "blocks": 3, "projection_width": 64},
    }

    preset: Literal["cut", "fastcut", "short"] = Field(
        "cut",
        description="cut, fastcut: the authors' code; short: minutes on a CPU, nothing published.",
    )
    blocks: int | None = Field(None, ge=1, le=32, description="Residual blocks of the generator (code: 9).")
    nce: float | None = Field(None, ge=0, description="Weight of the contrastive loss (CUT: 1, FastCUT: 10).")
    nce_identity: bool | None = Field(
        None, description="Also contrast target slices with their translations, for the mean of both (CUT: yes)."
    )
    flip_equivariance: bool | None = Field(
        None, description="Half of the time translate the mirror image and compare mirrored features (FastCUT: yes)."
    )
    temperature: float | None = Field(None, gt=0, description="Temperature of the contrast (0.07).")
    patches: int | None = Field(None, ge=2, le=4096, description="Positions compared in each layer (256).")
    projection_width: int | None = Field(None, ge=8, le=1024, description="Units of the projections (256).")


class CUT(FewShotGan):
    """A generator whose patches must stay recognisable as those of the source."""

    Config = CutSettings

    def game(self, settings: CutSettings, device: str) -> Game:
        """See `game.py`."""
        from .game import CutGame

        return CutGame(settings, device)

    def generator(self, settings: CutSettings) -> nn.Module:
        """A generator of residual blocks."""
        from .game import generator_of

        return generator_of(settings)
