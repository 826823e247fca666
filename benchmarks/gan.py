"""CycleGAN, CUT and pix2pix: images per second of training, with what the machine could do.

    python benchmarks/gan.py [--cases cyclegan:128 cut:128 pix2pix:128] [--steps 3] [--device auto] [--precision fp32]

A case is ``method:size`` with the published networks, or ``method:size:short`` with the demonstration's. Multiply-adds are
counted while a step runs, and the peak is that of a large matrix product in the same minute and arithmetic.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

import torch
from common import (
    Results,
    add_json,
    add_options,
    arithmetic,
    machine,
    method,
    multiply_adds,
    peak,
    run_on,
    seconds,
    slices,
)

from xmodbench.learning.gan.batches import Batches
from xmodbench.learning.gan.training import GameTraining

GAMES = {"cyclegan": "CycleGame", "cut": "CutGame", "pix2pix": "Pix2pixGame"}
HEADER = ("method", "px", "settings", "parameters", "images/s", "GMAC/image", "share of peak")


def training_of(case: str, run, precision: str) -> GameTraining:
    """The training of a case on phantoms."""
    name, size, *preset = case.split(":")
    settings = method(name, precision=precision, **({"preset": preset[0]} if preset else {})).settings.resolved()
    if name == "pix2pix" and settings.depth is None:
        unet = importlib.import_module("xmodbench_methods.pix2pix.unet")
        settings = settings.model_copy(update={"depth": unet.depth_for((int(size), int(size)))})
    game = getattr(importlib.import_module(f"xmodbench_methods.{name}.game"), GAMES[name])
    torch.manual_seed(0)
    images = slices(8, int(size))
    batches = Batches(1 - images, images, settings, 1, name == "pix2pix")
    return GameTraining(game(settings, run.device), batches, run, lambda network, source, noise: network(source))


def row(case: str, steps: int, run, precision: str, limit: float) -> tuple:
    """A row of the table."""
    training = training_of(case, run, precision)
    batch = training.settings.batch_size
    training.step(0)
    work = multiply_adds(lambda: training.step(1)) / batch
    took = seconds(lambda: [training.step(2 + step) for step in range(steps)], run.device) / steps
    name, size, *preset = case.split(":")
    parameters = sum(p.numel() for network in training.game.networks.values() for p in network.parameters())
    share = work * batch / took / limit
    shown = (f"{parameters:,}", f"{batch / took:.2f}", f"{work / 1e9:.1f}", f"{share:.0%}")
    return (name, size, preset[0] if preset else "published", *shown)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", help="default: all three, published at 128 px and short at 64")
    parser.add_argument("--steps", type=int, default=3)
    add_options(parser)
    add_json(parser)
    arguments = parser.parse_args()
    cases = arguments.cases or [f"{name}:{rest}" for name in GAMES for rest in ("128", "64:short")]
    with tempfile.TemporaryDirectory() as folder:
        run = run_on(arguments.device, Path(folder), arguments.threads, quiet=True)
        precision, limit = arguments.precision, peak(run.device, arguments.precision)
        product = f"{arithmetic(run.device, precision)} matrix product {limit / 1e9:.1f} GMAC/s"
        results = Results(f"{machine(run.device, arguments.threads)}; {product}", arguments.json)
        results.table(HEADER, (row(case, arguments.steps, run, precision, limit) for case in cases))


if __name__ == "__main__":
    main()
