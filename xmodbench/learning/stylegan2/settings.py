"""Options of StyleGAN2-ADA with in-domain inversion, and how a preset fills in those left out."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from xmodbench.plugins import Settings


class InversionSettings(Settings):
    """Options of the inversion of an image, which trains nothing; None takes the model's value."""

    inversion_steps: int | None = Field(
        None, ge=0, le=100_000, description="Steps per image (MIDiffusion's comparison: 5000; authors' code: 100)."
    )
    inversion_rate: float | None = Field(None, gt=0, le=1, description="Adam's step size in the inversion (0.01).")
    lambda_dom: float | None = Field(
        None,
        ge=0,
        description="Weight of the distance between latent vectors and the encoder's for their image (2); with 0 a long "
        "inversion copies the source.",
    )
    latent: Literal["w+", "w"] | None = Field(
        None,
        description="w+: a latent vector for each layer (published); w: one for all, nearer to the target's slices.",
    )
    inversion_batch: int | None = Field(
        None, ge=1, le=1024, description="Images inverted at once on a GPU; on a CPU it is always one."
    )


TRANSLATION_SETTINGS = frozenset(InversionSettings.model_fields)


class StyleganSettings(InversionSettings):
    """Options of networks and training; None takes the preset's value, which may depend on the size of the images."""

    preset: Literal["auto", "paper256", "short"] = Field(
        "auto",
        description="auto: the released code's default for one GPU and the images' size; paper256: its 256 px "
        "configuration of the ADA paper; short: minutes on a CPU at 32 px, nothing published.",
    )

    # networks
    resolution: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Side the networks work at, a power of two; slices are resampled to it and back (auto: the nearest).",
    )
    channel_base: int | None = Field(
        None, ge=64, le=65536, description="Channels times resolution (16384; from 512 px on 32768)."
    )
    channel_max: int | None = Field(None, ge=8, le=1024, description="Channels at most (512).")
    latent_size: int | None = Field(None, ge=8, le=1024, description="Length of z and of a latent vector (512).")
    mapping_layers: int | None = Field(None, ge=1, le=16, description="Of the mapping network (auto: 2, paper256: 8).")
    minibatch_group: int | None = Field(
        None, ge=1, le=64, description="Images whose standard deviation the discriminator sees (auto: 4, paper256: 8)."
    )

    # training of the GAN
    kimg: float | None = Field(
        None, gt=0, description="Length of the GAN's training in thousands of slices shown (25000)."
    )
    batch_size: int | None = Field(
        None, ge=1, le=256, description="Slices per step (auto: 4096 / resolution, at most 32; paper256: 64)."
    )
    learning_rate: float | None = Field(None, gt=0, description="Adam's step size (0.0025; from 1024 px on 0.002).")
    r1_gamma: float | None = Field(
        None, ge=0, description="Weight of the R1 penalty (auto: 0.0002 * resolution² / batch_size; paper256: 1)."
    )
    path_length: float | None = Field(None, ge=0, description="Weight of the path length penalty (2).")
    style_mixing: float | None = Field(None, ge=0, le=1, description="Probability of mixing two latent vectors (0.9).")
    ema_kimg: float | None = Field(
        None, gt=0, description="Half-life of the averaged weights, in thousands of slices (auto: 10/32 of a batch)."
    )
    ema_ramp: float | None = Field(
        None, ge=0, le=1, description="It is at most this share of the slices shown so far (auto: 0.05); 0: no ramp."
    )
    mirror: bool | None = Field(None, description="Flip half of the training slices left to right (off).")
    augment: Literal["bgc", "bg", "none"] | None = Field(
        None, description="Adaptive augmentation: bgc; bg: without grey levels; none (released default: bgc)."
    )
    ada_target: float | None = Field(
        None, gt=-1, lt=1, description="Wanted mean sign of the discriminator's scores of training slices (0.6)."
    )
    ada_kimg: float | None = Field(
        None,
        gt=0,
        description="Thousands of slices in which the probability of augmentation may rise to 1 (500, at most kimg / 5).",
    )
    low_pass: bool | None = Field(
        None, description="Augment at twice the resolution between low-pass filters (released); short: bilinear only."
    )

    # training of the encoder
    encoder_width: int | None = Field(None, ge=8, le=256, description="Channels of the encoder's first layer (64).")
    encoder_max: int | None = Field(None, ge=8, le=1024, description="Channels of the encoder at most (512).")
    encoder_iterations: int | None = Field(
        None, ge=0, description="Steps of the encoder's training (30000; its authors: 93750 of 128 images at 128 px)."
    )
    encoder_batch: int | None = Field(None, ge=2, le=256, description="Slices per step of it (16).")
    encoder_rate: float | None = Field(None, gt=0, description="Adam's step size in it (1e-4), at the beginning.")
    encoder_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="What is left of it in the end (0.168 = 0.8^8, as its authors' code runs, which counts each step twice; "
        "0.41 = 0.8^4 is 0.8 per quarter, as it is written).",
    )
    encoder_adversarial: float | None = Field(None, ge=0, description="Weight of fooling the discriminator (0.08).")
    encoder_r1_gamma: float | None = Field(
        None,
        ge=0,
        description="R1 of the discriminator in it (default: r1_gamma; its authors: 10, for another discriminator).",
    )
    encoder_flip: float | None = Field(None, ge=0, le=1, description="Probability of a flip in it (0.5).")
    perceptual: Literal["disc", "vgg16", "grad", "none"] | None = Field(
        None,
        description="Features that are compared beside the grey levels: those of the trained discriminator; of a VGG16 "
        "from `vgg16_file` (published); gradients; none.",
    )
    perceptual_weight: float | None = Field(
        None,
        ge=0,
        description="Weight of their difference (vgg16: 5e-5; else such that it is 0.75 of the squared difference of grey "
        "levels on the encoder's first batch).",
    )
    vgg16_file: str | None = Field(
        None, description="Weights of torchvision's VGG16 IMAGENET1K_FEATURES (.pth or .safetensors), for `perceptual`."
    )
    vgg16_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Wanted SHA-256 of that file.")

    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: automatic mixed precision but for the penalties (released: fp16, see num_fp16_res)."
    )
    num_fp16_res: int | None = Field(
        None,
        ge=0,
        le=9,
        description="Of how many resolutions, from the highest down, the GAN's layers compute with 16 bits, the penalties "
        "included (released: 4, with conv_clamp 256; here none). Without scaling of losses: for GPUs.",
    )
    conv_clamp: float | None = Field(
        None,
        gt=0,
        description="Largest absolute value of what the GAN's layers make in training (released: 256; here any).",
    )
    snapshots: int = Field(
        5, ge=0, le=200, description="Pictures of samples, then of encoded slices, over each training."
    )
    checkpoint_s: float = Field(
        300.0, gt=0, description="The most seconds between two saves of the state for resuming; the first come sooner."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.resolution is not None and self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two, not {self.resolution}")
        if self.num_fp16_res and self.precision == "bf16":
            raise ValueError("num_fp16_res is for precision 'fp32', whose highest resolutions it makes fp16")
        if self.perceptual == "vgg16" and not self.vgg16_file:
            raise ValueError("perceptual 'vgg16' needs vgg16_file, the weights are not part of this package")
        return self

    def resolved(self, nearest: int) -> Any:
        """A copy in which every option has its value: the given one, or the preset's.

        Of this class, but for a type checker open, as in `PresetSettings.resolved`. Only ``perceptual_weight``,
        ``vgg16_file``, ``vgg16_sha256``, ``num_fp16_res`` and ``conv_clamp`` may stay None.

        Args:
            nearest: the power of two nearest to the size of the images.
        """
        given = {name: value for name, value in self if value is not None}
        resolution = given.get("resolution") or {"paper256": 256, "short": 32}.get(self.preset, nearest)
        values = {**PUBLISHED, **_auto(resolution, given.get("batch_size")), **PRESETS[self.preset], **given}
        values["resolution"] = resolution
        values.setdefault("ada_kimg", min(500.0, values["kimg"] / 5))
        values.setdefault("encoder_r1_gamma", values["r1_gamma"])
        return type(self).model_construct(**{**dict(self), **values})


TRAINING_SETTINGS = frozenset(StyleganSettings.model_fields) - TRANSLATION_SETTINGS
PRETRAINING_SETTINGS = frozenset(
    name for name in TRAINING_SETTINGS if not name.startswith(("encoder_", "perceptual", "vgg16_"))
)
"""What decides the GAN; the other training settings are the encoder's."""


def _auto(resolution: int, batch_size: int | None) -> dict[str, Any]:
    """The released code's configuration ``auto`` for one GPU."""
    batch_size = batch_size or max(1, min(4096 // resolution, 32))
    return {
        "batch_size": batch_size,
        "minibatch_group": min(batch_size, 4),
        "channel_base": 32768 if resolution >= 512 else 16384,
        "learning_rate": 0.002 if resolution >= 1024 else 0.0025,
        "r1_gamma": 0.0002 * resolution**2 / batch_size,
        "ema_kimg": batch_size * 10 / 32,
        "ema_ramp": 0.05,
        "mapping_layers": 2,
    }


PUBLISHED: dict[str, Any] = {
    "channel_max": 512,
    "latent_size": 512,
    "kimg": 25_000.0,
    "path_length": 2.0,
    "style_mixing": 0.9,
    "mirror": False,
    "augment": "bgc",
    "ada_target": 0.6,
    "low_pass": True,
    "encoder_width": 64,
    "encoder_max": 512,
    "encoder_iterations": 30_000,
    "encoder_batch": 16,
    "encoder_rate": 1e-4,
    "encoder_decay": 0.8**8,
    "encoder_adversarial": 0.08,
    "encoder_flip": 0.5,
    "perceptual": "disc",
    "inversion_steps": 5000,
    "inversion_rate": 0.01,
    "lambda_dom": 2.0,
    "latent": "w+",
    "inversion_batch": 64,
}
"""What does not depend on the resolution."""

PRESETS: dict[str, dict[str, Any]] = {
    "auto": {},
    "paper256": {
        "batch_size": 64,
        "minibatch_group": 8,
        "channel_base": 16384,
        "learning_rate": 0.0025,
        "r1_gamma": 1.0,
        "ema_kimg": 20.0,
        "ema_ramp": 0.0,
        "mapping_layers": 8,
    },
    "short": {
        "channel_base": 512,
        "channel_max": 32,
        "latent_size": 64,
        "kimg": 10.0,
        "batch_size": 8,
        "learning_rate": 0.005,
        "r1_gamma": 0.1,
        "ema_kimg": 1.0,
        "ada_kimg": 1.0,
        "low_pass": False,
        "encoder_width": 32,
        "encoder_max": 128,
        "encoder_iterations": 300,
        "encoder_rate": 1e-3,
        "encoder_r1_gamma": 0.01,
        "inversion_steps": 200,
    },
}
