"""Settings of energy guidance. Imports neither NumPy nor torch, as plugins must not."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xmodbench.plugins import Settings


class EnergyGuidanceSettings(Settings):
    """Options of energy guidance; all of them of translation."""

    energy: Literal["lmi", "mind", "ngf", "gradient_correlation"] = Field(
        "lmi",
        description="What the predicted image is compared with the source by: local mutual information, MIND descriptors, "
        "normalised gradient fields, or the squared correlation of derivatives. None of them minds inverted contrast.",
    )
    rule: Literal["freedom", "dps"] = Field(
        "freedom",
        description="Step size. freedom: the gradient, scaled to `strength` times the predicted noise's part in the step; "
        "dps: `strength` times the gradient over the root of the energy.",
    )
    strength: float = Field(
        0.2,
        ge=0,
        description="See `rule` (FreeDoM's code: 0.02 for text, 0.2 for style; DPS: 0.3 to 1); 0 guides nothing.",
    )
    sampling_steps: int = Field(100, ge=1, le=10_000, description="Steps of the whole diffusion (FreeDoM: 100).")
    eta: float = Field(
        1.0, ge=0, le=1, description="Noise of a step: 1 as DDPM's posterior (FreeDoM's text: 1), 0 none."
    )
    start: float = Field(
        1.0, gt=0, le=1, description="Share of the diffusion the source is noised by to begin with; 1: pure noise."
    )
    guided_from: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Share of the diffusion from which on steps are guided (FreeDoM's styles: 0.7, its faces: 1) ...",
    )
    guided_below: float = Field(
        0.0, ge=0, lt=1, description="... and at which that ends (FreeDoM's styles: 0.3, its faces: 0, 0.1 or 0.2)."
    )
    repeats: int = Field(
        1,
        ge=1,
        le=20,
        description="Time travel: how often a step is taken, noised again in between (FreeDoM: 1, 3 or 10).",
    )
    travel_from: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Share of the diffusion from which on time is travelled (FreeDoM's styles: 0.7) ...",
    )
    travel_below: float = Field(0.4, ge=0, lt=1, description="... and at which that ends (FreeDoM's styles: 0.4).")
    clip_x0: bool = Field(
        False, description="Clip the estimate of the clean image to its range; what is clipped is not guided."
    )
    lmi_window: int = Field(9, ge=3, le=65, description="LMI: side of the windows in pixels, odd.")
    lmi_bins: int = Field(16, ge=2, le=64, description="LMI: bins of a histogram.")
    lmi_bandwidth: float = Field(
        0.04,
        gt=0,
        le=1,
        description="LMI: standard deviation of the Gaussian that shares a pixel among bins, in [0, 1].",
    )
    lmi_stride: int = Field(2, ge=1, le=32, description="LMI: pixels from one window to the next.")
    mind_neighbours: Literal[4, 8] = Field(4, description="MIND: size of the search region.")
    mind_sigma: float = Field(0.8, gt=0, le=5, description="MIND: Gaussian weights of a patch, pixels (paper: 0.5).")
    mind_distance: int = Field(1, ge=1, le=8, description="MIND: distance of the neighbours, pixels.")
    ngf_edge: float = Field(
        0.5, gt=0, le=10, description="Gradient fields: what counts as an edge, in units of the image's mean gradient."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lmi_window % 2 == 0:
            raise ValueError(f"lmi_window must be odd, {self.lmi_window} is not")
        for name in ("guided", "travel"):
            first, last = getattr(self, f"{name}_from"), getattr(self, f"{name}_below")
            if first <= last:
                raise ValueError(f"{name}_from ({first}) must be above {name}_below ({last}): time runs down")
        return self
