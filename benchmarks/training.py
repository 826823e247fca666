"""Steps per second of MIDiffusion's training, and where a step's time goes: network, LMI maps, the rest.

    python benchmarks/training.py [--cases short:64 ddpm:128] [--steps 5] [--device auto]

A case is ``network:size``, ``short`` being the demonstration's settings as they are. The time of the maps is measured
around them inside real training steps; that of snapshots is what the default number of them adds to a training of
`--iterations` steps.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from common import machine, method, run_on, seconds, slices, table

from xmodbench.devices import resolve_device
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining


class Timed:
    """The condition of training batches, with the seconds spent in it."""

    def __init__(self, guide, device: str):
        self.guide, self.device, self.spent = guide, device, 0.0

    def __call__(self, batch):
        """Channels of a batch."""
        found = []
        self.spent += seconds(lambda: found.append(self.guide(batch)), self.device)
        return found[0]


def measured(case: str, steps: int, iterations: int, options: dict, device: str, threads: int) -> tuple:
    """A row of the table."""
    name, size = case.split(":")
    changes = {} if name == "short" else {"network": name, "width": None, "preset": "released_consistent"}
    changes = {"preset": "short", **changes, "iterations": iterations, **options}
    ours = method("midiffusion", **changes)
    settings = ours.settings.resolved()
    guidance = importlib.import_module("xmodbench_methods.midiffusion.guidance")
    with tempfile.TemporaryDirectory() as folder:
        run = run_on(device, Path(folder), threads, quiet=True)
        images = slices(16, int(size))
        model = DiffusionModel.new(settings, 1 + len(settings.channels))
        guide = Timed(guidance.TrainingGuide(model, images, run.progress), run.device)
        training = DiffusionTraining(model, images, guide, run, ours.draw)
        for step in range(2):  # warm-up: kernels are compiled, memory is taken
            training.step(step)
        guide.spent = 0.0
        took = seconds(lambda: [training.step(2 + step) for step in range(steps)], run.device) / steps
        maps = guide.spent / steps
        looks = seconds(training.preview, run.device, repeats=2) * settings.snapshots
    share, lost = maps / took, looks / (iterations * took)
    return (name, size, settings.batch_size, f"{1 / took:.2f}", f"{1e3 * (took - maps):.0f}", f"{1e3 * maps:.0f}",
            f"{share:.0%}", f"{lost:.1%}")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["short:64", "small:128", "ddpm:64", "ddpm:128", "adm:128"])
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--iterations", type=int, default=400, help="of the training that snapshots are compared with")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    options = {name: getattr(arguments, name) for name in ("precision", "channels_last", "compile")}
    work = (arguments.steps, arguments.iterations, options, device, arguments.threads)
    print(f"{machine(device, arguments.threads)}; {options}\n")
    header = ("network", "px", "batch", "steps/s", "network ms", "LMI ms", "LMI share", "snapshots add")
    print(table(header, (measured(case, *work) for case in arguments.cases)))


if __name__ == "__main__":
    main()
