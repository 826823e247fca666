"""SDEdit: translation by noising the source and denoising it with a model of the target (Meng et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    import torch

    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise

OFFICIAL: dict[str, Any] = {
    **RELEASED,
    "data_range": "-1,1",
    "dropout": 0.0,
    "blur": 0.0,  # their models come from DDPM's trainer, which only flips
    "variance": "fixedsmall",
    "final_noise": False,
    "start": 0.5,
    "repeats": 3,
}


class SdeditSettings(DiffusionSettings):
    """Options of SDEdit; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**RELEASED, "start": 0.4, "repeats": 1, "augment_test": True},
        "released_consistent": {**RELEASED, "start": 0.4, "repeats": 1, "final_noise": False},
        "official": OFFICIAL,
        "official_ve": {**OFFICIAL, "process": "ve", "prediction": "score", "sampler": "euler_maruyama", "repeats": 1},
        "short": {**SHORT, "start": 0.5, "repeats": 1, "sampling_steps": 50},
        "own": {**OWN, "start": 0.5, "repeats": 1, "sampling_steps": 50},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"start", "repeats"}

    preset: Literal["released", "released_consistent", "official", "official_ve", "short", "own"] = Field(
        "released_consistent",
        description="released: SDEdit as in MIDiffusion's code; released_consistent: without its noise on the result and "
        "its augmentation of test images; official: the SDEdit authors' code (one-channel network); official_ve: its VE "
        "form; short: minutes on a CPU, nothing published; own: as short, but as long as held-out slices show that it "
        "helps.",
    )
    start: float | None = Field(
        None,
        gt=0,
        le=1,
        description="t0: share of the diffusion the source is noised by; small is faithful, large is realistic "
        "(MIDiffusion's code: 0.4 by default; SDEdit's documented commands: 0.5; SDEdit recommends 0.3 to 0.6).",
    )
    repeats: int | None = Field(
        None, ge=1, le=20, description="K: passes, each starting from the last one's result (official: 3; released: 1)."
    )


class SDEdit(DiffusionMethod):
    """Noises the source up to ``start`` and denoises with an unconditional model of the target."""

    Config = SdeditSettings
    translation_settings = SdeditSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train an unconditional model of the target."""
        self.train_model(train, run)

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """`repeats` passes over `images` [B, 1, H, W], each from noise of the level `start`; only the last is clipped."""
        from xmodbench.learning.diffusion.model import unconditional
        from xmodbench.learning.diffusion.samplers import sample, start_of

        settings = model.settings
        for _ in range(settings.repeats):
            images = sample(model, unconditional, noise, guide=images, start=start_of(settings), clip=False)
        return images.clamp(0, 1)
