"""Images per second of every sampler of MIDiffusion against the released recipe, in one run.

    python benchmarks/sampling.py [--network ddpm] [--size 128] [--batch 64] [--device auto]

The recipe is written out below, as one would first write it: one image at a time, float32, eager, 1000 ancestral steps,
LMI maps with every joint histogram in memory. Ours are batches, on a GPU in bf16, channels-last and compiled. Weights are
random: they do not matter for speed. What takes too long is timed over `--timed` steps and scaled; its rows say so. On a
CPU the seconds are those of the processor.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import machine, method, seconds, slices, table
from naive_lmi import naive_lmi
from quality import evaluations

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


def our_seconds(arguments, device: str, sampler: str, steps: int) -> tuple[float, bool]:
    """Seconds per image, and whether they were scaled from fewer steps."""
    scaled = steps > arguments.timed and not device.startswith("cuda")
    run_steps = next(n for n in range(arguments.timed, 0, -1) if 1000 % n == 0) if scaled else steps
    fast = device.startswith("cuda") and not arguments.plain
    options = {"precision": "bf16", "channels_last": True, "compile": True} if fast else {}
    chosen = {"sampler": sampler, "sampling_steps": run_steps, "network": arguments.network, **options}
    settings = method("midiffusion", preset="released_consistent", **chosen).settings.resolved()
    model = DiffusionModel.new(settings, 3)
    model.network.to(device).eval()
    if fast:
        model.network = plugin.compiled(model.network.to(memory_format=torch.channels_last))
    draw = method("midiffusion").draw
    count = arguments.batch if device.startswith("cuda") else 1
    images = slices(count, arguments.size).astype(np.float32)

    def work() -> None:
        generators = [ImageGenerator.of(1, str(index)) for index in range(count)]
        plugin.translate(model, images, generators, draw)

    work()
    return seconds(work, device) / count * evaluations(sampler, steps) / evaluations(sampler, run_steps), scaled


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="ddpm", choices=("ddpm", "adm", "small"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64, help="on a GPU; on a CPU images are translated one by one")
    parser.add_argument("--timed", type=int, default=4, help="steps that are timed where all would take too long")
    parser.add_argument("--plain", action="store_true", help="fp32 and eager on a GPU too")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    torch.set_num_threads(arguments.threads)
    source = torch.from_numpy(slices(1, arguments.size)).to(device)
    network = DiffusionModel.new(method("midiffusion", network=arguments.network).settings.resolved(), 3).network
    slow = recipe_seconds(network.to(device).eval(), source, arguments.timed, device)
    print(f"{machine(device, arguments.threads)}; {arguments.network}, {arguments.size} px\n")
    rows = [("released recipe", 1000, f"{slow:.1f}", f"{1 / slow:.3g}", 1, f"scaled from {1 + arguments.timed} steps")]
    for sampler, steps in SAMPLERS:
        took, scaled = our_seconds(arguments, device, sampler, steps)
        remark = "scaled from fewer steps" if scaled else ""
        rows.append((sampler, steps, f"{took:.2f}", f"{1 / took:.3g}", f"{slow / took:.3g}", remark))
    print(table(("sampler", "steps", "s per image", "images/s", "times the recipe", ""), rows))


if __name__ == "__main__":
    main()
