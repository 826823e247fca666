"""Steps per second of MIDiffusion's training, and where a step's time goes: network, LMI maps, the rest.

    python benchmarks/training.py [--cases short:64 ddpm:128 ddpm:128:32] [--how fp32 bf16+compile] [--steps 5]
                                  [--device auto]

A case is ``network:size`` or ``network:size:batch``, ``short`` being the demonstration's settings as they are. Each is
run in every way of `--how`: words joined by ``+`` out of ``fp32``, ``tf32`` (for a GPU: its convolutions and products),
``bf16``, ``channels-last`` and ``compile``. The time of the maps is measured around them inside real training steps, others
than those whose number per second is given: on a GPU the measuring makes them wait. That of snapshots is what the default
number of them adds to a training of `--iterations` steps; `--brief` leaves it out.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from common import Results, add_json, machine, method, run_on, seconds, slices

from xmodbench.devices import resolve_device
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining


class Timed:
    """The condition of training batches, with the seconds spent in it."""

    def __init__(self, guide, device: str):
        self.guide, self.device, self.spent, self.timed = guide, device, 0.0, False

    def __call__(self, batch):
        """Channels of a batch."""
        if not self.timed:
            return self.guide(batch)
        found = []
        self.spent += seconds(lambda: found.append(self.guide(batch)), self.device)
        return found[0]


WORDS = {
    "fp32": {},
    "tf32": {},
    "bf16": {"precision": "bf16"},
    "channels-last": {"channels_last": True},
    "compile": {"compile": True},
}
HEADER = (
    "network", "px", "batch", "how", "steps/s", "images/s", "network ms", "LMI ms", "LMI share", "snapshots add",
)  # fmt: skip


def training_of(case: str, how: str, iterations: int, run) -> tuple[DiffusionTraining, Timed]:
    """The training of a case, and the condition of its batches."""
    name, size, *batch = case.split(":")
    changes = {} if name == "short" else {"network": name, "width": None, "preset": "released_consistent"}
    changes = {"preset": "short", **changes, "iterations": iterations}
    changes.update({"batch_size": int(batch[0])} if batch else {})
    for word in how.split("+"):
        changes.update(WORDS[word])
    ours = method("midiffusion", **changes)
    settings = ours.settings.resolved()
    guidance = importlib.import_module("xmodbench_methods.midiffusion.guidance")
    images = slices(16, int(size))
    model = DiffusionModel.new(settings, 1 + len(settings.channels))
    guide = Timed(guidance.TrainingGuide(model, images, run.progress), run.device)
    return DiffusionTraining(model, images, guide, run, ours.draw), guide


def measured(case: str, how: str, arguments) -> tuple:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_on(arguments.device, Path(folder), arguments.threads, quiet=True)
        resolve_device(arguments.device, tf32="tf32" in how.split("+"))
        training, guide = training_of(case, how, arguments.iterations, run)
        for step in range(2):  # warm-up: kernels are compiled, memory is taken
            training.step(step)
        steps = arguments.steps
        took = seconds(lambda: [training.step(2 + step) for step in range(steps)], run.device) / steps
        guide.timed = True
        for step in range(steps):
            training.step(2 + steps + step)
        maps, lost = guide.spent / steps, "-"
        if not arguments.brief:
            looks = seconds(training.preview, run.device, repeats=2) * training.settings.snapshots
            lost = f"{looks / (arguments.iterations * took):.1%}"
    (name, size), batch = case.split(":")[:2], training.settings.batch_size
    shown = (f"{1 / took:.2f}", f"{batch / took:.1f}", f"{1e3 * (took - maps):.3g}", f"{1e3 * maps:.3g}")
    return name, size, batch, how, *shown, f"{maps / took:.0%}", lost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["short:64", "small:128", "ddpm:64", "ddpm:128", "adm:128"])
    parser.add_argument("--how", nargs="+", default=["fp32"], help="such as fp32 tf32 bf16+channels-last")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--iterations", type=int, default=400, help="of the training that snapshots are compared with")
    parser.add_argument("--brief", action="store_true", help="without snapshots")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    add_json(parser)
    arguments = parser.parse_args()
    if unknown := {word for how in arguments.how for word in how.split("+")} - set(WORDS):
        parser.error(f"--how: no such way: {', '.join(sorted(unknown))} (there are {', '.join(WORDS)})")
    arguments.device = resolve_device(arguments.device)
    results = Results(machine(arguments.device, arguments.threads), arguments.json)
    results.table(HEADER, (measured(case, how, arguments) for how in arguments.how for case in arguments.cases))


if __name__ == "__main__":
    main()
