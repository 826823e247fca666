"""Features of pytorch-fid's Inception-v3. Importing this module imports torch and torchvision."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytorch_fid.inception as reference
import torch

from xmodbench.metrics.paired import to_8bit

BATCH = 32


@cache
def network(path: Path) -> torch.nn.Module:
    """pytorch-fid's own network up to pool3, with weights from a local file (which must have been checked)."""

    # pytorch-fid always asks for its weights by URL; the same state dict is handed to it from the file
    def local(*_args, **_kwargs):
        return torch.load(path, map_location="cpu", weights_only=True)

    with patch.object(reference, "load_state_dict_from_url", local):
        block = reference.InceptionV3.BLOCK_INDEX_BY_DIM[2048]
        return reference.InceptionV3([block], resize_input=True, normalize_input=True).eval()


@torch.inference_mode()
def inception_features(images: np.ndarray, path: Path) -> np.ndarray:
    """Features ``[N, 2048]`` of grey images ``[N, H, W]`` in [0, 1], as pytorch-fid takes them from 8-bit files.

    On the CPU: scoring jobs ask for no GPU, so they must not take one from a training job, or from another user.
    """
    net, rows = network(path), []
    for start in range(0, len(images), BATCH):
        grey = to_8bit(images[start : start + BATCH]).astype(np.float32) / 255
        rgb = torch.from_numpy(grey)[:, None].expand(-1, 3, -1, -1)
        rows.append(net(rgb)[0].flatten(1).double().numpy())
    return np.concatenate(rows)
