"""Small settings of StyleGAN2-ADA, shared by its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from xmodbench.learning.stylegan2 import gan, model
from xmodbench.learning.stylegan2.settings import StyleganSettings
from xmodbench.plugins import Run
from xmodbench.progress import Progress

TINY: dict[str, Any] = {
    "preset": "short",
    "resolution": 16,
    "channel_base": 128,
    "channel_max": 16,
    "latent_size": 16,
    "kimg": 0.04,
    "batch_size": 4,
    "encoder_width": 8,
    "encoder_max": 16,
    "encoder_iterations": 6,
    "encoder_batch": 4,
    "inversion_steps": 5,
}


def tiny(**changes: Any) -> StyleganSettings:
    """Settings of networks that train in seconds, not resolved."""
    return StyleganSettings(**{**TINY, **changes})


def run_in(folder: Path, seed: int = 3) -> Run:
    """A quiet job on the CPU whose state is kept in `folder`."""
    return Run(seed=seed, device="cpu", state_dir=folder, progress=Progress(quiet=True))


def fit(config: StyleganSettings, images: np.ndarray, run: Run) -> model.Model:
    """GAN and encoder of images [N,1,H,W], in one job."""
    return model.fit(gan.pretrain(config, images, run), images, run)


def relu4_3(layers: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the layers of VGG16 say of images [N,1,R,R] in [-1, 1]."""
    grey = ((x + 1) * 127.5).repeat(1, 3, 1, 1)
    return layers[:23](grey - torch.tensor([123.68, 116.779, 103.939])[:, None, None])
