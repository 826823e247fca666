"""ContourDiff: zero-shot translation by diffusion conditioned on contours (Chen et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.learning.diffusion.method import DiffusionMethod
from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings
from xmodbench.plugins import Run, TrainData

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    import torch

    from xmodbench.learning.diffusion.maps import Maker
    from xmodbench.learning.diffusion.model import DiffusionModel
    from xmodbench.learning.diffusion.samplers import Noise
    from xmodbench.seeding import ImageGenerator

CONTOURS: dict[str, Any] = {
    "low_threshold": 80,
    "high_threshold": 150,
    "stretch": False,
    "neighbour_share": 0.0,
    "first_candidates": 1,
}
PUBLISHED: dict[str, Any] = {
    **RELEASED,
    **CONTOURS,
    "data_range": "-1,1",
    "network": "ddpm256",
    "width": 128,
    "dropout": 0.0,
    "epochs": 400,
    "learning_rate": 1e-4,
    "lr_schedule": "one-cycle",
    "loss_reduction": "mean",
    "antithetic": False,
    "ema_decay": 0.0,  # none
    "blur": 0.0,
    "affine": 0.9,
    "sampler": "ddim",
    "sampling_steps": 50,
    "final_noise": False,
}


class ContourdiffSettings(DiffusionSettings):
    """Options of ContourDiff; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**PUBLISHED, "stretch": True, "neighbour_share": 0.2},
        "released_consistent": PUBLISHED,
        "short": {**SHORT, **CONTOURS},
        "own": {**OWN, **CONTOURS},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"stretch", "first_candidates"}

    preset: Literal["released", "released_consistent", "short", "own"] = Field(
        "released_consistent",
        description="released: the authors' code, with a neighbouring slice to go by; released_consistent: slice by slice, "
        "without its stretch of each result; short: minutes on a CPU, nothing published, MIDiffusion's preset short with "
        "another condition; own: for data of one's own, as short, but as long as held-out slices show that it helps.",
    )
    low_threshold: int | None = Field(
        None, ge=0, le=2040, description="Canny: gradient in grey levels that goes on with a contour (code: 80)."
    )
    high_threshold: int | None = Field(
        None, ge=1, le=2040, description="Canny: gradient in grey levels that begins a contour (code: 150)."
    )
    stretch: bool | None = Field(
        None,
        description="Stretch each result by its own minimum and maximum (code: yes). Off by default: one bright pixel "
        "darkens the whole slice, so that intensities no longer mean the same from slice to slice.",
    )

    neighbour_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Spatially coherent guidance: the slice above or below is one more channel, shown in this share of "
        "training cases (code: 0.2), else black; volumes are then translated slice by slice, each seeing the one before. 0: "
        "no such channel, slices know nothing of each other.",
    )
    first_candidates: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Draws of a volume's first slice, of which the darkest is kept and guides the next; only with "
        "neighbour_share (code: 1, or as many as asked for).",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        found = self.resolved()
        if found.low_threshold > found.high_threshold:
            raise ValueError(
                f"low_threshold {found.low_threshold} is above high_threshold {found.high_threshold}; swap them"
            )
        if found.neighbour_share and found.augment_test:
            raise ValueError(
                "augment_test flips single slices, which neighbour_share shows to each other: leave one out"
            )
        return self


def makers(settings: ContourdiffSettings) -> dict[str, Maker]:
    """How the channel of contours is made of clean images, or of the source, for resolved settings."""
    from .contours import contour_maps

    return {"contours": partial(contour_maps, low=settings.low_threshold, high=settings.high_threshold)}


class ContourDiff(DiffusionMethod):
    """Denoises from pure noise to a target slice; every step sees the source's contours, if asked the slice before."""

    Config = ContourdiffSettings
    translation_settings = ContourdiffSettings.SAMPLING

    def __init__(self, settings: ContourdiffSettings):
        super().__init__(settings)
        self.volumes = settings.resolved().neighbour_share > 0

    def fit(self, train: TrainData, run: Run) -> None:
        """Train on target slices, their own contours and, if asked for, their neighbours."""
        from xmodbench.learning.diffusion.maps import TrainingMaps

        if not self.volumes:
            self.train_model(
                train,
                run,
                inputs=2,
                channels_of=lambda model: TrainingMaps(
                    makers(model.settings), train.target, model.settings, run.progress
                ),
            )
            return
        from .neighbours import NeighbourMaps, one_after_the_other

        slices, beside = one_after_the_other(train.target)
        self.train_model(
            TrainData(slices),
            run,
            inputs=3,
            channels_of=lambda model: NeighbourMaps(model, makers(model.settings), slices, beside, run.progress),
        )

    def draw(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Images drawn from pure noise, with the contours of the sources `images` [B, 1, H, W] and no neighbours."""
        return self._drawn(model, images, noise)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate slices ``source`` [N,1,H,W], or with guidance a volume [1,1,D,H,W] from its lowest slice upwards."""
        if not self.volumes:
            return super().translate(source, generators)
        import numpy as np

        from xmodbench.learning.diffusion import plugin
        from xmodbench.seeding import ImageGenerator, derive_seed

        found: list[np.ndarray] = []
        for place, image in enumerate(source[0, 0]):
            generator = ImageGenerator(derive_seed(generators[0].seed, "slice", place))
            draw = partial(self._drawn, before=found[-1]) if found else self._darkest
            found.append(plugin.translate(self.model, image[None, None], [generator], draw))
        return np.stack(found, axis=2)

    def _darkest(self, model: DiffusionModel, images: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Of several drawn without a neighbour that with the smallest mean, once stretched."""
        drawn = [self._drawn(model, images, noise) for _ in range(model.settings.first_candidates)]
        return min(drawn, key=lambda image: float(stretched(image).mean()))

    def _drawn(
        self, model: DiffusionModel, images: torch.Tensor, noise: Noise, before: np.ndarray | None = None
    ) -> torch.Tensor:
        """Images drawn from pure noise; a guided model sees the slice `before` [1, 1, H, W], or black."""
        import torch

        from xmodbench.learning.diffusion.maps import SourceMaps
        from xmodbench.learning.diffusion.samplers import sample

        made = makers(model.settings)
        if model.network.inputs > 2:  # a model of the time before there was a share has no such channel
            shown = torch.zeros_like(images) if before is None else torch.from_numpy(before).to(images)
            made["neighbour"] = lambda source: model.inside(shown)
        found = sample(model, SourceMaps(made, images), noise)
        return stretched(found) if model.settings.stretch else found


def stretched(images: torch.Tensor) -> torch.Tensor:
    """Images [B, 1, H, W] stretched to [0, 1], each by its own minimum and maximum."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-6)
