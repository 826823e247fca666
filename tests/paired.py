"""Small methods of several networks or steps for tests, and trainings of them that are cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmodbench.plugins import METHODS, Method, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress

TINY: dict[str, dict[str, Any]] = {
    "unet_regression": {"width": 8, "adversarial": 0.01, "discriminator_width": 4, "discriminator_layers": 2},
    "flow_matching": {"width": 8, "sampling_steps": 2},
    "syndiff": {
        "width": 4,
        "multipliers": (1, 2),
        "latent_width": 8,
        "translator_width": 4,
        "translator_blocks": 1,
        "discriminator_width": 4,
        "discriminator_layers": 2,
        "time_width": 4,
        "time_layers": 3,
        "time_embedding": 8,
        "slices": 3,
        "r1_every": 3,
    },
    "unsb": {
        "width": 4,
        "blocks": 2,
        "discriminator_width": 4,
        "discriminator_layers": 2,
        "projection_width": 8,
        "slices": 3,
    },
}


def made(name: str, **changes: Any) -> Any:
    """A method with tiny settings, saved after every step."""
    plugin = find(METHODS, name)
    settings = {"preset": "short", "checkpoint_s": 1e-6, "iterations": 6, "snapshots": 2, **TINY[name], **changes}
    return plugin.cls(validated(plugin.cls.Config, settings, "test"))


def job(folder: Path, progress: Progress) -> Run:
    """A job on the CPU."""
    return Run(3, "cpu", folder, progress)


def pairs(n: int = 8, seed: int = 1) -> TrainData:
    """Slices of 16 pixels and the same with a turned and narrower contrast."""
    bright = phantom(n, seed)[..., 8:24, 8:24].copy()
    return TrainData(target=bright, source=(0.9 - 0.7 * bright).astype(np.float32))


def error_beside_copying(found: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """The squared error of translations, as a share of that of copying the source."""
    return float(((found - target) ** 2).mean() / ((source - target) ** 2).mean())


class Interrupted(Progress):
    """Dies before the given step."""

    def __init__(self, step: int):
        super().__init__(quiet=True)
        self.step = step

    def track(self, items, label, total=None, start=0):
        """The items up to that step."""
        for item in items:
            if item == self.step:
                raise InterruptedError
            yield item


def files(method: Method, folder: Path) -> dict[str, bytes]:
    """What the method saves."""
    folder.mkdir()
    method.save(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def whole_and_interrupted(
    name: str, data: TrainData, steps: Iterable[int], folder: Path, quiet: Progress
) -> tuple[Any, dict[str, bytes], dict[str, bytes]]:
    """A method trained at one go, what it saves, and what one saves that was cut short before each of the steps."""
    whole, parts = made(name), made(name)
    whole.fit(data, job(folder / "a", quiet))
    for step in steps:
        with pytest.raises(InterruptedError):
            parts.fit(data, job(folder / "b", Interrupted(step)))
    parts.fit(data, job(folder / "b", quiet))
    return whole, files(whole, folder / "whole"), files(parts, folder / "parts")


def losses_by_precision(game: Callable[..., Any], batch: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """The losses of one step of a game, in full and in half precision."""
    found = {}
    for precision in ("fp32", "bf16"):
        played = game(precision=precision)
        torch.manual_seed(5)  # the same dropout, noise and positions
        found[precision] = {name: loss.item() for name, loss in played.step(batch(), 1).items()}
    return found
