"""Orders of convergence of MIDiffusion's solvers, with the LMI map of the noisy image among its channels and without it.

    python benchmarks/order.py

Trains one small model for each set of channels on phantoms, then follows the same trajectories from pure noise down to time
199 of 1000 in ever more steps. Printed is how far the noisy image then is from where 800 steps of Heun's method lead (root
mean square), and the order: how many times the error halves when the steps double.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import torch
from common import add_options, machine, method, run_on, slices, table

from xmodbench.learning.diffusion.samplers import denoiser, image_noise, sampler_of
from xmodbench.plugins import Run, TrainData
from xmodbench.seeding import ImageGenerator

CHANNELS = (["self"], ["cross", "self"])
SOLVERS = ("ddim", "dpmpp_2m", "unipc", "heun")
STEPS = (25, 50, 100, 200, 400)
FIRST, LAST, FINEST = 999, 199, 800  # steps divide FINEST, so that all grids have whole times and the same ends


def trained(channels: list[str], arguments, run: Run):
    """A MIDiffusion of `short` and its settings, trained with `channels` on phantoms."""
    one = method("midiffusion", preset="short", channels=channels, iterations=arguments.iterations, snapshots=0)
    one.fit(TrainData(slices(16, arguments.size)), run)
    return one.model


@torch.inference_mode()
def reached(model, condition, start: torch.Tensor, solver: str, steps: int) -> torch.Tensor:
    """The noisy images at time LAST, on the way from `start` at FIRST in `steps` steps."""
    grid = list(range(FIRST, LAST - 1, -FINEST // steps))
    settings = model.settings.model_copy(update={"sampler": solver, "sampling_steps": steps * (FIRST + 1) // FINEST})
    evaluate, seen = denoiser(model, condition), {}

    def denoise(x, t):
        seen[t] = x  # Heun's corrector evaluates there first; what is kept is where the next step would begin
        return evaluate(x, t)

    sampler_of(settings, lambda: None)(denoise, model.process, grid, start)
    return seen[LAST]


def errors(model, source: torch.Tensor, start: torch.Tensor) -> dict[tuple[str, int], float]:
    """Root mean square distance from the finest trajectory, for each solver and number of steps."""
    from xmodbench_methods.midiffusion.guidance import SourceGuide

    condition = SourceGuide(model, source)
    finest = reached(model, condition, start, "heun", FINEST)
    found = {}
    for solver in SOLVERS:
        for steps in STEPS:
            off = reached(model, condition, start, solver, steps) - finest
            found[solver, steps] = float(off.square().mean().sqrt())
    return found


def order_of(before: float | None, error: float) -> str:
    """How many times the error halved, in brackets; nothing in a first row."""
    return "" if before is None else f" ({math.log2(before / error):.1f})"


def main() -> None:
    """Train, follow, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--images", type=int, default=4)
    add_options(parser)
    arguments = parser.parse_args()
    columns = []
    for channels in CHANNELS:
        with tempfile.TemporaryDirectory() as folder:
            run = run_on(arguments.device, Path(folder), arguments.threads)
            model = trained(channels, arguments, run)
        source = torch.from_numpy(1 - slices(arguments.images, arguments.size)).to(run.device)
        generators = [ImageGenerator.of(1, str(k)) for k in range(arguments.images)]
        start = image_noise(generators, source.shape[2:], run.device)()
        columns.append(errors(model, source, start))
    rows = []
    for solver in SOLVERS:
        for steps in STEPS:
            cells = [(found[solver, steps], found.get((solver, steps // 2))) for found in columns]
            rows.append((solver, steps, *(f"{error:.1e}{order_of(before, error)}" for error, before in cells)))
    print(f"\n{machine(run.device, arguments.threads)}: {arguments.size} px, {arguments.iterations} training steps\n")
    print(table(("solver", "steps", *(" + ".join(channels) for channels in CHANNELS)), rows))


if __name__ == "__main__":
    main()
