"""LPIPS by torchmetrics' network, with AlexNet weights that are given. Importing this module imports torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.image.lpips import _LPIPS

from xmodbench.errors import UserError
from xmodbench.files import sha256_file

BATCH = 32
SMALLEST = 32
"""Pixels: AlexNet halves five times."""


@cache
def network(path: Path, sha256: str | None) -> torch.nn.Module:
    """LPIPS (AlexNet, version 0.1: its linear layers come with torchmetrics) with ImageNet weights from a local file.

    Raises:
        UserError: the file is not the wanted one, or holds something else.
    """
    where, fix = f"scoring.lpips_weights {path}", "give torchvision's AlexNet IMAGENET1K_V1"
    if sha256 is not None and (found := sha256_file(path)) != sha256:
        raise UserError(f"its SHA-256 is {found}, not the wanted {sha256}", where, "fetch it again or correct the sum")
    net = _LPIPS(net="alex", pnet_rand=True)
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
        # the layers keep their numbers, and are divided among five parts
        state = {name: given[f"features.{name.partition('.')[2]}"] for name in net.net.state_dict()}
        net.net.load_state_dict(state)
    except Exception as error:  # pickle and torch each raise their own
        problem = f"cannot be read as weights of AlexNet ({str(error).splitlines()[0]})"
        raise UserError(problem, where, fix) from None
    return net.eval()


@torch.inference_mode()
def lpips(a: np.ndarray, b: np.ndarray, path: Path, sha256: str | None) -> np.ndarray:
    """LPIPS ``[N]`` of grey images ``[N, H, W]`` in [0, 1], on the CPU, where scoring jobs are."""
    net, rows = network(path, sha256), []
    for start in range(0, len(a), BATCH):
        pair = (np.ascontiguousarray(images[start : start + BATCH], np.float32) for images in (a, b))
        colour = (torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1) for images in pair)
        rows.append(net(*colour, normalize=True).flatten(1).mean(1).double().numpy())
    return np.concatenate(rows)
