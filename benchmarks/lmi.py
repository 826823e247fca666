"""LMI maps: ours against the naive materialised layout, side by side in one run.

    python benchmarks/lmi.py [--sizes 64 128] [--repeats 5] [--threads 2]

Prints, for each size and kind of input, the best time of both, their ratio, the largest difference of the maps, and by how
much each raised the process's peak memory (measured in a process of its own).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_lmi import naive_lmi

from xmodbench.plugins import METHODS, find


def ours(reference: torch.Tensor, sliding: torch.Tensor) -> torch.Tensor:
    """The plugin's map with the released options."""
    import importlib

    find(METHODS, "midiffusion")  # makes the plugin's modules importable
    lmi = importlib.import_module("xmodbench_methods.midiffusion.lmi")
    return lmi.lmi_map(reference, sliding, lmi.LmiOptions(normalise=True))


LAYOUTS = {"naive": naive_lmi, "ours": ours}


def inputs(size: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth reference in [0, 1] with flat borders, and itself (`clean`) or noise (`noisy`) to slide over it."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 1, size // 8, size // 8), size=size, mode="bicubic").clamp(
        0, 1
    )
    smooth[..., : size // 6, :] = 0
    return smooth, smooth if kind == "clean" else torch.randn(1, 1, size, size)


def best_time(layout, pair, repeats: int) -> tuple[float, torch.Tensor]:
    """Least seconds of `repeats` calls after a warm-up, and the map."""
    found = layout(*pair)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        layout(*pair)
        times.append(time.perf_counter() - start)
    return min(times), found


def peak_mb(name: str, size: int) -> float:
    """By how much one call raises the peak memory of a process that has already made a small map."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import lmi; lmi.print_peak({name!r}, {size})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(name: str, size: int) -> None:
    """For the process of `peak_mb`."""
    LAYOUTS[name](*inputs(16, "noisy"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    LAYOUTS[name](*inputs(size, "noisy"))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads\n")
    print(
        "| size | sliding | naive | ours | ratio | difference | naive peak | our peak |\n|---|---|---|---|---|---|---|---|"
    )
    for size in arguments.sizes:
        peaks = {name: peak_mb(name, size) for name in LAYOUTS}
        for kind in ("clean", "noisy"):
            pair = inputs(size, kind)
            (slow, expected), (fast, found) = (best_time(LAYOUTS[name], pair, arguments.repeats) for name in LAYOUTS)
            difference = (found - expected).abs().max().item()
            print(
                f"| {size} | {kind} | {slow * 1e3:.0f} ms | {fast * 1e3:.1f} ms | {slow / fast:.0f}x | {difference:.1e} "
                f"| +{peaks['naive']:.0f} MiB | +{peaks['ours']:.0f} MiB |"
            )


if __name__ == "__main__":
    main()
