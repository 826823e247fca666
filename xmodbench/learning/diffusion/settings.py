"""Settings every diffusion method has, and how a preset fills in those left out."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from xmodbench.learning.training.presets import PresetSettings
from xmodbench.plugins.settings import validated

VpSampler = Literal["ancestral", "ddim", "dpmpp_2m", "unipc", "heun"]
VeSampler = Literal["euler_maruyama", "euler"]
VP_SAMPLERS: tuple[str, ...] = get_args(VpSampler)
VE_SAMPLERS: tuple[str, ...] = get_args(VeSampler)


class DiffusionSettings(PresetSettings):
    """Options of noise process, network, training and sampler; None takes the preset's value."""

    SAMPLING: ClassVar[frozenset[str]] = frozenset(
        {
            *("sampler", "sampling_steps", "spacing", "samples"),
            *("variance", "final_noise", "clip_x0", "eta", "augment_test", "weights"),
        }
    )
    """Options that only translation uses: they can be changed for a trained model."""

    # noise process
    process: Literal["vp", "ve"] | None = Field(
        None, description="Variance preserving (released code) or variance exploding (paper, Eq. 4)."
    )
    timesteps: int | None = Field(None, ge=2, le=10_000, description="Discrete times T (code: 1000).")
    schedule: Literal["linear", "continuous"] | None = Field(
        None,
        description="VP: betas linear in the time (code), or of steps of the continuous equation whose rate is linear, for "
        "few times (FGDM).",
    )
    beta_start: float | None = Field(None, gt=0, lt=20, description="First beta of the VP schedule (code: 1e-4).")
    beta_end: float | None = Field(None, gt=0, le=100, description="Last beta of the VP schedule (code: 0.02).")
    sigma_min: float | None = Field(
        None, gt=0, description="Smallest VE noise level (score-SDE: 0.01; paper: none given)."
    )
    sigma_max: float | None = Field(
        None, gt=0, description="Largest VE noise level: the largest distance between two training images."
    )
    prediction: Literal["eps", "v", "x0", "score"] | None = Field(
        None, description="What the network answers (code: eps; paper: score)."
    )
    data_range: Literal["0,1", "-1,1"] | None = Field(
        None, description="Range of intensities inside the diffusion (code: 0,1; official SDEdit: -1,1)."
    )

    # network
    network: Literal["ddpm", "adm", "ddpm256", "ncsnpp", "small"] | None = Field(
        None,
        description="ddpm: the published runs' network; adm: the code's alternative; ddpm256: ContourDiff's; ncsnpp: "
        "FGDM's, for prediction x0; small: short CPU training.",
    )
    width: int | None = Field(None, ge=8, le=512, multiple_of=8, description="Channels of the first level (code: 64).")
    dropout: float | None = Field(None, ge=0, lt=1, description="Dropout (code: 0.1; in its ADM network 0).")

    # training
    iterations: int | None = Field(None, ge=1, description="Optimiser steps; instead of epochs.")
    epochs: int | None = Field(None, ge=1, description="Passes over the slices (code: 1000; for IXI 10,000).")
    batch_size: int | None = Field(None, ge=1, le=4096, description="Slices per step and process (code: 4).")
    accumulation: int = Field(1, ge=1, le=1024, description="Batches whose gradients are added up for one step.")
    learning_rate: float | None = Field(
        None, gt=0, description="Adam's step size (code: 3e-4), the peak of a one-cycle."
    )
    lr_schedule: Literal["constant", "one-cycle", "cosine"] | None = Field(
        None, description="Code: constant; cosine: falls to a fifteenth (FGDM)."
    )
    loss_reduction: Literal["sum", "mean"] | None = Field(
        None, description="Squared error per image: summed over pixels (code) or averaged."
    )
    weighting: Literal["none", "score"] | None = Field(
        None,
        description="score: squared error of the score itself (paper, Eq. 5 and 12), that of eps over sigma squared "
        "(code: none).",
    )
    antithetic: bool | None = Field(None, description="Draw times in pairs t, T-1-t (code: yes).")
    gradient_clip: float | None = Field(None, gt=0, description="Largest norm of the gradient (code: 1).")
    ema_decay: float | None = Field(None, ge=0, lt=1, description="Decay of the averaged weights (code: 0.9999).")
    ema_warmup: bool | None = Field(None, description="Let the decay grow from 0 at first (code: no).")
    flip: float | None = Field(None, ge=0, le=1, description="Probability of a horizontal flip (code: 0.5).")
    blur: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability of a Gaussian blur, sigma uniform in 0..2 px, as OpenCV does it (code: 0.5).",
    )
    affine: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability of a small affine map: turned by up to 5 degrees, moved by a tenth of the side, scaled by "
        "a tenth, each axis by a fifth more (code: 0; ContourDiff: 0.9).",
    )
    held_out: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the training slices that is not trained on: the loss on them says whether training still "
        "helps, and the weights are kept that were best (code: none).",
    )
    patience: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Training stops after so many looks at the held-out slices without a better one; 0: never (code).",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: automatic mixed precision (code: fp32).")
    channels_last: bool = Field(
        False,
        description="Memory layout; faster for convolutions on most GPUs, but under mixed precision group normalisation "
        "leaves it: measure (docs/speed.md).",
    )
    compile: bool = Field(False, description="torch.compile the network: a slow start, then faster.")
    checkpoint_s: float = Field(
        300.0, gt=0, description="The most seconds between two saves of the state for resuming; the first come sooner."
    )
    snapshots: int = Field(5, ge=0, le=200, description="Pictures of translated training slices taken over training.")

    # sampling
    sampler: Literal[VpSampler, VeSampler] | None = Field(
        None, description="Code: ancestral; paper: euler_maruyama (Alg. 1); the others are few-step solvers."
    )
    sampling_steps: int | None = Field(None, ge=1, le=10_000, description="Steps of the sampler (code: 1000).")
    spacing: Literal["uniform", "karras"] = Field(
        "uniform",
        description="uniform: times evenly spaced (code); karras: noise levels spaced as by Karras et al. 2022 (rho 7), "
        "denser where there is little noise; times that fall together are visited once. Not for ddim, whose steps are even.",
    )
    samples: int = Field(
        1,
        ge=1,
        le=1000,
        description="Images drawn for each source, whose mean is the translation: nearer by squared error, and blurred "
        "where they disagree. Costs as many times the evaluations (code: 1).",
    )
    variance: Literal["fixedlarge", "fixedsmall"] | None = Field(
        None, description="Ancestral noise: beta (code) or the posterior variance (official SDEdit)."
    )
    final_noise: bool | None = Field(
        None, description="Add noise after the last step too (code and paper, Alg. 1: yes)."
    )
    clip_x0: bool | None = Field(None, description="Clip the estimate of the clean image to its range (code: no).")
    eta: float | None = Field(None, ge=0, le=1, description="Noise of DDIM: 0 is deterministic.")
    augment_test: bool | None = Field(
        None, description="Flip and blur test images as in training, as the released sampler does by mistake."
    )
    weights: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="bf16: the network translates with weights and activations of 16 bits, so that nothing is converted at "
        "each step; noise levels, maps and the sampler's sums stay float32.",
    )

    def resolved(self) -> Any:
        """A copy in which every option has its value: the given one, or the preset's.

        Sampler and number of steps, where left out, become ones that suit a process or ``timesteps`` that were given;
        dropout becomes that of the network.
        """
        found = super().resolved()
        changes: dict[str, Any] = {}
        if self.dropout is None and found.network == "adm":
            changes["dropout"] = 0.0  # the released code's ADM network ignores the option
        known = _samplers(found)
        if self.sampler is None and found.sampler not in known:
            changes["sampler"] = known[0]
        if self.sampling_steps is None:
            most, even = min(found.sampling_steps, found.timesteps), changes.get("sampler", found.sampler) == "ddim"
            changes["sampling_steps"] = next(n for n in range(most, 0, -1) if not even or found.timesteps % n == 0)
        return found.model_copy(update=changes)

    def sampling_like(self, other: Any) -> Any:
        """A copy of resolved settings with the sampling options that resolved settings `other` have.

        Raises:
            UserError: they do not suit the process these settings were trained with.
        """
        changes = {name: getattr(other, name) for name in self.SAMPLING if hasattr(other, name)}
        return validated(type(self), {**dict(self), **changes}, "settings for translation").resolved()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        r = self.resolved()
        known = _samplers(r)
        if r.sampler not in known:
            what = f"process '{r.process}'" if r.schedule == "linear" else f"schedule '{r.schedule}'"
            raise ValueError(f"sampler '{r.sampler}' is not for {what} (use {', '.join(known)})")
        if r.sampling_steps > r.timesteps:
            raise ValueError(f"sampling_steps {r.sampling_steps} is more than timesteps {r.timesteps}")
        if r.sampler == "ddim" and r.timesteps % r.sampling_steps:
            raise ValueError(
                f"sampling_steps of ddim must divide timesteps ({r.timesteps}), {r.sampling_steps} does not"
            )
        if r.process == "vp" and r.schedule == "linear" and r.beta_end >= 1:
            raise ValueError(f"beta_end {r.beta_end:g} of a linear schedule must be below 1")
        if r.sampler == "ddim" and r.spacing == "karras":
            raise ValueError(
                "spacing 'karras' is not for sampler 'ddim', whose steps are even: use dpmpp_2m, unipc or heun"
            )
        if r.process == "ve" and r.prediction == "v":
            raise ValueError("prediction 'v' is for process 'vp'")
        if r.network == "ncsnpp" and r.prediction != "x0":
            raise ValueError("network 'ncsnpp', whose answers end at -1 and 1, is for prediction 'x0'")
        if (r.process == "vp" and r.beta_start >= r.beta_end) or (r.process == "ve" and r.sigma_min >= r.sigma_max):
            raise ValueError("the schedule must rise: beta_start < beta_end, sigma_min < sigma_max")
        return self


def _samplers(settings: Any) -> tuple[str, ...]:
    """The samplers for the process that resolved settings ask for; the few-step solvers are told linear betas."""
    if settings.process == "ve":
        return VE_SAMPLERS
    return VP_SAMPLERS if settings.schedule == "linear" else ("ancestral",)


RELEASED: dict[str, Any] = {
    "process": "vp",
    "timesteps": 1000,
    "schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "sigma_min": 0.01,
    "sigma_max": 50.0,
    "prediction": "eps",
    "data_range": "0,1",
    "network": "ddpm",
    "width": 64,
    "dropout": 0.1,
    "epochs": 1000,
    "batch_size": 4,
    "learning_rate": 3e-4,
    "lr_schedule": "constant",
    "loss_reduction": "sum",
    "weighting": "none",
    "antithetic": True,
    "gradient_clip": 1.0,
    "ema_decay": 0.9999,
    "ema_warmup": False,
    "flip": 0.5,
    "blur": 0.5,
    "affine": 0.0,
    "held_out": 0.0,
    "patience": 0,
    "sampler": "ancestral",
    "sampling_steps": 1000,
    "variance": "fixedlarge",
    "final_noise": True,
    "clip_x0": False,
    "eta": 0.0,
    "augment_test": False,
}
"""What the released MIDiffusion code and its SDEdit have in common."""

SHORT: dict[str, Any] = {
    **RELEASED,
    "prediction": "v",
    "data_range": "-1,1",
    "network": "small",
    "width": 16,
    "dropout": 0.0,
    "iterations": 400,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "lr_schedule": "one-cycle",
    "loss_reduction": "mean",
    "ema_decay": 0.99,
    "ema_warmup": True,
    "blur": 0.0,
    "sampler": "ddim",
    "sampling_steps": 25,
    "final_noise": False,
}
"""For training of minutes: nothing published, so that a demonstration has something to show."""

OWN: dict[str, Any] = {
    **SHORT,
    "iterations": None,
    "epochs": None,
    "held_out": 0.1,
    "patience": 10,
    "lr_schedule": "constant",
    "learning_rate": 1e-3,
    "ema_decay": 0.995,
}
"""For data of one's own: nothing published; held-out slices decide how long it trains."""
