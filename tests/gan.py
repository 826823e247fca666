"""Small adversarial methods for tests."""

from __future__ import annotations

import importlib

from xmodbench.plugins import METHODS, find
from xmodbench.plugins.settings import validated

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
