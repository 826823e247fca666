"""Options of MIDiffusion and its presets."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from xmodbench.learning.diffusion.settings import OWN, RELEASED, SHORT, DiffusionSettings

LMI_RELEASED: dict[str, Any] = {
    "channels": ("cross", "self"),
    "time_shift": 1,
    "window": 3,
    "bins": 27,
    "bandwidth": 8.0,
    "quantise": "trunc",
    "out_of_range": "raw",
    "search": "mosaic",
    "radius": 1,
    "pad": "zero",
    "marginals": "kernel-mean",
    "reduce": "max",
    "temperature": 0.05,
    "normalise_train": True,
    "normalise_sample": False,
    "eps": 1e-10,
    "log_base": 2.0,
}
REPAIRED: dict[str, Any] = {"time_shift": 0, "normalise_sample": True, "final_noise": False, "augment_test": False}


class MidiffusionSettings(DiffusionSettings):
    """Options of MIDiffusion; None takes the preset's value."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {**RELEASED, **LMI_RELEASED, "augment_test": True},
        "released_consistent": {**RELEASED, **LMI_RELEASED, **REPAIRED},
        "paper_ve": {
            **RELEASED,
            **LMI_RELEASED,
            **REPAIRED,
            "process": "ve",
            "prediction": "score",
            "weighting": "score",
            "sampler": "euler_maruyama",
            "sampling_steps": 500,
            "final_noise": True,
            "search": "shift",
            "log_base": math.e,
            "normalise_train": False,
            "normalise_sample": False,
            "out_of_range": "clip",
            "flip": 0.0,
            "blur": 0.0,
        },
        "short": {**SHORT, **LMI_RELEASED, **REPAIRED},
        "own": {**OWN, **LMI_RELEASED, **REPAIRED},
    }

    SAMPLING: ClassVar[frozenset[str]] = DiffusionSettings.SAMPLING | {"normalise_sample", "keep_steps"}

    preset: Literal["released", "released_consistent", "paper_ve", "short", "own"] = Field(
        "released_consistent",
        description="released: the authors' code, its mismatches between training and test included; "
        "released_consistent: the same without them; paper_ve: the paper's equations; short: minutes on a CPU, "
        "nothing published; own: for data of one's own, as short, but as long as held-out slices show that it helps.",
    )
    channels: tuple[Literal["cross", "self", "sobel", "std", "mind"], ...] | None = Field(
        None,
        description="cross: LMI(clean or source, noisy); self: LMI of the image with itself (code: both). For ablations: "
        "sobel (gradient magnitude), std (2 x local standard deviation in the window), mind (the modality independent "
        "neighbourhood descriptor: four channels), or [] for no condition at all.",
    )
    time_shift: int | None = Field(
        None, ge=0, le=10, description="Training: the cross map is taken this many times later (code: 1; sampling: 0)."
    )
    window: Literal[3, 5, 7] | None = Field(None, description="Side of the LMI windows (paper: none given; code: 3).")
    smooth: float = Field(
        0.0,
        ge=0,
        le=8,
        description="Standard deviation in pixels of a Gaussian that both images are smoothed with before their windows are "
        "compared: less of the noise, less detail (paper and code: none).",
    )
    bins: int | None = Field(None, ge=8, le=343, description="Grey-level bins (code: window cubed = 27).")
    bandwidth: float | None = Field(
        None, gt=0, le=64, description="Kernel width in grey levels (code: 2 sigma^2 = 8 with its sigma 2)."
    )
    quantise: Literal["trunc", "round", "none"] | None = Field(None, description="Grey levels (code: truncated).")
    out_of_range: Literal["raw", "clip", "scale"] | None = Field(
        None, description="Noisy values outside [0, 1] (code: raw, where the map saturates)."
    )
    search: Literal["mosaic", "shift"] | None = Field(
        None, description="Code: within the 3x3 patch; paper, Fig. 3: windows moved by up to radius."
    )
    radius: int | None = Field(None, ge=1, le=8, description="Reach of the shift search in pixels (paper: none given).")
    pad: Literal["zero", "reflect", "replicate"] | None = Field(None, description="Outside the image (code: zero).")
    marginals: Literal["kernel-mean", "from-joint"] | None = Field(None, description="Code: mean of the kernels.")
    reduce: Literal["max", "mean", "softmax"] | None = Field(None, description="Over the search (paper, Eq. 8: max).")
    temperature: float | None = Field(
        None, gt=0, description="Of the soft maximum (reduce softmax), in units of the map."
    )
    normalise_train: bool | None = Field(None, description="Symmetric uncertainty in training (code: always).")
    normalise_sample: bool | None = Field(
        None, description="The same in sampling (code: off for CuRIOUS and Gold Atlas, on for IXI)."
    )
    keep_steps: int = Field(
        0,
        ge=0,
        le=20,
        description="So many steps of sampling whose noisy images and LMI maps are kept and shown in the report; none with "
        "augment_test, with several samples, or without the channel cross. Changes no translation.",
    )
    eps: float | None = Field(None, gt=0, description="Guard of divisions and logarithms (code: 1e-10).")
    log_base: float | None = Field(None, gt=1, description="Base of the logarithm (code: 2; paper: e implied).")
