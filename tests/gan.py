"""Small adversarial methods for tests."""

from __future__ import annotations

import importlib

import numpy as np

from tests.paired import error_beside_copying
from xmodbench.plugins import METHODS, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
from xmodbench.seeding import ImageGenerator

METHOD_IDS = ("cyclegan", "pix2pix", "cut")
TINY = {"preset": "short", "width": 4, "discriminator_width": 4, "discriminator_layers": 2, "checkpoint_s": 1e-6}
OWN = {
    "cyclegan": {"blocks": 1, "slices": 3, "pool_size": 2},
    "pix2pix": {"norm": "batch", "test_dropout": True, "depth": 6},
    "cut": {"blocks": 1, "slices": 3, "projection_width": 8, "flip_equivariance": True},
}


def made(name, **changes):
    """A method with tiny settings, saved after every step."""
    plugin = find(METHODS, name)
    return plugin.cls(validated(plugin.cls.Config, {**TINY, **OWN[name], **changes}, "test"))


def game_of(name, **changes):
    """Its untrained networks."""
    settings = made(name, **changes).settings.resolved()
    module = importlib.import_module(f"xmodbench_methods.{name}.game")
    cls = next(value for key, value in vars(module).items() if key.endswith("Game") and key != "Game")
    import torch

    torch.manual_seed(0)
    return cls(settings, "cpu")


def darkened(n, seed):
    """Slices [n,1,32,32], and the same with all of the tissue darker and its contrast narrower: source and target."""
    bright = phantom(n, seed)
    return bright, (0.25 * bright + 0.1 * (bright > 0)).astype(np.float32)


def left_of_copying(method, job):
    """The squared error on unseen slices, as a share of that of copying the source, of a method once it is trained."""
    source, target = darkened(24, 1)
    method.fit(TrainData(target, source), job)
    source, target = darkened(6, 2)
    found = method.translate(source, [ImageGenerator.of(1, str(k)) for k in range(6)])
    return error_beside_copying(found, source, target)
