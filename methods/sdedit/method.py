"""SDEdit: translation by noising the source and denoising it with a model of the target (Meng et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.diffusion.settings import RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Method, Run, Supervision, TrainData
from xmodbench.seeding import ImageGenerator

if TYPE_CHECKING:
    import numpy as np

OFFICIAL: dict[str, Any] = {
    **RELEASED,
    "data_range": "-1,1",
    "dropout": 0.0,
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
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"start", "repeats"}

    preset: Literal["released", "released_consistent", "official", "official_ve", "short"] = Field(
        "released_consistent",
        description="released: SDEdit as in MIDiffusion's code; released_consistent: without its noise on the result and "
        "its augmentation of test images; official: the SDEdit authors' code (one-channel network); official_ve: its VE "
        "form; short: minutes on a CPU, nothing published.",
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


class SDEdit(Method):
    """Noises the source up to ``start`` and denoises with an unconditional model of the target."""

    supervision = Supervision.ZERO_SHOT
    Config = SdeditSettings
    translation_settings = SdeditSettings.SAMPLING

    def fit(self, train: TrainData, run: Run) -> None:
        """Train an unconditional model of the target."""
        from xmodbench.learning.diffusion import plugin

        settings = self.settings.resolved()
        self.model, self.log = plugin.fit(settings, 1, train.target, lambda model: lambda batch: None, run, _translated)

    def save(self, directory: Path) -> None:
        """Weights, resolved settings and the loss of training."""
        from xmodbench.learning.training.plot import save_with_plot

        self.model.save(directory)
        save_with_plot(self.log, directory)

    def load(self, directory: Path, run: Run) -> None:
        """Read a model; the options of sampling are this method's own."""
        from xmodbench.learning.diffusion import plugin

        self.model = plugin.load(directory, SdeditSettings, self.settings.resolved(), run)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W]."""
        from xmodbench.learning.diffusion import plugin

        return plugin.translate(self.model, source, generators, partial(_translated, self.model))


def _translated(model, images, noise):
    """Translations of `images` [B, 1, H, W] by an unconditional diffusion model."""
    from xmodbench.learning.diffusion.model import unconditional
    from xmodbench.learning.diffusion.samplers import sample

    settings = model.settings
    start = max(1, round(settings.start * settings.timesteps))
    for _ in range(settings.repeats):
        images = sample(model, unconditional, noise, guide=images, start=start)
    return images
