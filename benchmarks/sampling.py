"""Images per second of every sampler of MIDiffusion against the released recipe, in one run.

    python benchmarks/sampling.py [--network ddpm] [--size 128] [--samplers ddim:20] [--batch 64] [--how compiled]
                                  [--device auto]

The recipe is written out below, as one would first write it: one image at a time, float32, eager, 1000 ancestral steps,
LMI maps with every joint histogram in memory. Ours are batches, on a GPU in bf16, channels-last and compiled; `--how` takes
several of ``plain`` (float32, eager), ``bf16`` (mixed precision, channels-last), ``compiled`` (that, compiled), ``weights``
(weights of 16 bits in the ordinary layout) and ``weights-compiled``. On a GPU evaluations are replayed as a CUDA graph
unless ``+eager`` follows. Network weights are random: they do not matter for speed. What takes too long is timed over
`--timed` steps and scaled; its rows say so. On a CPU the seconds are those of the processor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import Results, add_json, evaluations, machine, method, run_on, seconds, slices
from naive_lmi import naive_lmi

from xmodbench.devices import resolve_device
from xmodbench.learning.diffusion import plugin
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.seeding import ImageGenerator

SAMPLERS = (
    ("ancestral", 1000),
    ("ddim", 250),
    ("ddim", 50),
    ("ddim", 20),
    ("dpmpp_2m", 20),
    ("unipc", 20),
    ("heun", 10),
)


@torch.no_grad()
def recipe(network: torch.nn.Module, source: torch.Tensor, steps: int) -> torch.Tensor:
    """The first `steps` of the released sampler's 1000, for one image [1, 1, H, W]."""
    betas = torch.linspace(1e-4, 0.02, 1000, device=source.device)
    kept = torch.cumprod(1 - betas, 0)
    with_itself = naive_lmi(source, source)
    x = torch.randn_like(source)
    for i in list(range(999, -1, -1))[:steps]:
        channels = torch.cat([x, naive_lmi(source, x), with_itself], 1)
        eps = network(channels, torch.full((1,), i, device=source.device))
        x = (x - betas[i] / (1 - kept[i]).sqrt() * eps) / (1 - betas[i]).sqrt() + betas[i].sqrt() * torch.randn_like(x)
    return x.clamp(0, 1)


def recipe_seconds(network, source: torch.Tensor, timed: int, device: str) -> float:
    """Seconds per image of the recipe, from `timed` steps beyond the first."""
    recipe(network, source, 1)
    first, more = (seconds(lambda n=n: recipe(network, source, n), device) for n in (1, 1 + timed))
    return first + 999 * (more - first) / timed


HOW = {
    "plain": {},
    "bf16": {"precision": "bf16", "channels_last": True},
    "compiled": {"precision": "bf16", "channels_last": True, "compile": True},
    "weights": {"precision": "bf16", "weights": "bf16"},
    "weights-compiled": {"precision": "bf16", "weights": "bf16", "channels_last": True, "compile": True},
}
EAGER = "+eager"
HEADER = ("sampler", "steps", "batch", "network", "s per image", "images/s", "times the recipe", "")


def settings_of(arguments, how: str, sampler: str = "ddim", steps: int = 20):
    """Resolved settings of a row."""
    options = HOW[how.removesuffix(EAGER)]
    chosen = {"sampler": sampler, "sampling_steps": steps, "network": arguments.network, **options}
    return method("midiffusion", preset="released_consistent", **chosen).settings.resolved()


def model_of(arguments, how: str, device: str) -> DiffusionModel:
    """A model whose network all rows share: it is compiled once."""
    model = DiffusionModel.new(settings_of(arguments, how), 3)
    model.network.eval()
    return plugin.placed(model, run_on(device, Path(), arguments.threads, quiet=True))


def our_seconds(arguments, model: DiffusionModel, how: str, batch: int, sampler: str, steps: int) -> tuple[float, bool]:
    """Seconds per image, and whether they were scaled from fewer steps."""
    scaled = arguments.timed is not None and steps > arguments.timed
    run_steps = next(n for n in range(arguments.timed, 0, -1) if 1000 % n == 0) if scaled else steps
    kept = None if how.endswith(EAGER) else model.evaluations
    model = replace(model, settings=settings_of(arguments, how, sampler, run_steps))
    model.evaluations = kept
    draw = method("midiffusion").draw
    images = slices(batch, arguments.size).astype(np.float32)

    def work() -> None:
        generators = [ImageGenerator.of(1, str(index)) for index in range(batch)]
        plugin.translate(model, images, generators, draw)

    work()
    took = seconds(work, arguments.device) / batch
    return took * evaluations(sampler, steps) / evaluations(sampler, run_steps), scaled


def rows(arguments, slow: float) -> Iterator[tuple]:
    """The table: the recipe, then ours."""
    remark = f"scaled from {1 + recipe_steps(arguments)} steps"
    yield "released recipe", 1000, 1, "plain", f"{slow:.3g}", f"{1 / slow:.3g}", 1, remark
    for how in arguments.how:
        model = model_of(arguments, how, arguments.device)
        for batch in arguments.batch:
            for sampler, steps in arguments.samplers:
                took, scaled = our_seconds(arguments, model, how, batch, sampler, steps)
                numbers = (f"{took:.3g}", f"{1 / took:.3g}", f"{slow / took:.3g}")
                yield sampler, steps, batch, how, *numbers, "scaled from fewer steps" if scaled else ""


def recipe_steps(arguments) -> int:
    """Steps of the recipe that are timed beyond the first."""
    return arguments.timed or 20


def sampler_of(text: str) -> tuple[str, int]:
    """``ddim:20``"""
    name, steps = text.split(":")
    return name, int(steps)


def parsed() -> argparse.Namespace:
    """The command line, with what depends on the device filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="ddpm", choices=("ddpm", "adm", "small"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--samplers", type=sampler_of, nargs="+", default=SAMPLERS, help="NAME:STEPS; all if left out")
    parser.add_argument("--batch", type=int, nargs="+", help="default: 64 on a GPU; a CPU translates one by one")
    parser.add_argument("--timed", type=int, help="steps that are run at most, the rest is scaled; default: 4 on a CPU")
    ways = [how + after for how in HOW for after in ("", EAGER)]
    parser.add_argument("--how", nargs="+", choices=ways, help="default: compiled on a GPU, plain on a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    add_json(parser)
    given = parser.parse_args()
    given.device = resolve_device(given.device)
    gpu = given.device.startswith("cuda")
    given.batch = given.batch or [64 if gpu else 1]
    given.how = given.how or ["compiled" if gpu else "plain"]
    given.timed = given.timed or (None if gpu else 4)
    return given


def main() -> None:
    """Print the table."""
    arguments = parsed()
    device = arguments.device
    torch.set_num_threads(arguments.threads)
    source = torch.from_numpy(slices(1, arguments.size)).to(device)
    network = DiffusionModel.new(method("midiffusion", network=arguments.network).settings.resolved(), 3).network
    slow = recipe_seconds(network.to(device).eval(), source, recipe_steps(arguments), device)
    heading = f"{machine(device, arguments.threads)}; {arguments.network}, {arguments.size} px"
    Results(heading, arguments.json).table(HEADER, rows(arguments, slow))


if __name__ == "__main__":
    main()
