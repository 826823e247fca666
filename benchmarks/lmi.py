"""LMI maps: ours against the naive materialised layout, side by side in one run, and against what this machine could do.

    python benchmarks/lmi.py [--sizes 64 96 128 192 256] [--windows 3 5] [--maps 1 64] [--repeats 5] [--threads 2]
                             [--devices cpu cuda] [--exact]

For each device (CUDA where there is one), size, window and kind of sliding image (`clean`: the image itself; `noisy`): the
best time of both for a map, their ratio, the largest difference of the maps, which implementation made ours, and the peak
memory of one call (CPU: by how much it raised the peak of a process of its own; CUDA: allocated beyond the images). There
are 27 bins. The naive layout is written for windows of 3 only, and has no memory for more than one map in a call (`--maps`).
With `--exact` the first map is compared with that of plain tensors in float64 on the CPU. On CUDA a second table says what
the compiled kernels need.

The limit is the time in which the machine could do the multiply-adds and logarithms of the definition (all bins, all
windows) and nothing else, at the rates measured here by a matrix product and by `log2` of a cached array, one after the
other; or move the bytes of three images at the rate of a copy, if that is longer. The share is limit / time. It can pass
100 %: work that need not be done is left out (bins out of the kernels' reach, constant windows, pixels met several times).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import Results, add_json
from lmi_layouts import LAYOUTS, inputs, kernels, naive_lmi, off_float64, ours, path_of


@dataclass(frozen=True)
class Rates:
    """What a device reached here: multiply-adds, logarithms and bytes a second."""

    multiply_adds: float
    logarithms: float
    bytes: float

    def limit(self, size: int, window: int, bins: int = 27) -> float:
        """Least seconds for one map, see the module."""
        windows = size**2 * window**2
        cells = windows * bins**2
        compute = cells * window**2 / self.multiply_adds + cells / self.logarithms
        return max(compute, 3 * 4 * size**2 / self.bytes)


def rates(device: str) -> Rates:
    """Measure a device."""
    a, b = (torch.rand(1536, 1536, device=device) for _ in range(2))
    product = torch.empty_like(a)
    multiply_adds = 1536**3 / best_time(lambda: torch.matmul(a, b, out=product), device, 5)
    logarithms = log2_rate(device)
    big = torch.rand(2**26, device=device)
    target = torch.empty_like(big)
    moved = 2 * 4 * big.numel() / best_time(lambda: target.copy_(big), device, 3)
    return Rates(multiply_adds, logarithms, moved)


def log2_rate(device: str) -> float:
    """Logarithms a second; on a CPU one thread's times the threads, for a busy machine stalls several at every call."""
    cached = torch.rand(2**16 if device == "cpu" else 2**22, device=device)
    found, threads = torch.empty_like(cached), torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = best_time(lambda: torch.log2(cached, out=found), device, 200)
    torch.set_num_threads(threads)
    return cached.numel() / seconds * (threads if device == "cpu" else 1)


def best_time(call, device: str, repeats: int) -> float:
    """Least seconds of `repeats` calls after a warm-up."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    call()
    times = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_mib(name: str, device: str, size: int, window: int) -> float:
    """Peak memory of one call beyond its images, after a small map has been made."""
    if device == "cuda":
        pair = inputs(size, "noisy", device)
        LAYOUTS[name](*pair, window)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        LAYOUTS[name](*pair, window)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import lmi; lmi.print_peak"
    command = [sys.executable, "-c", f"{code}({name!r}, {size}, {window})"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, size: int, window: int) -> None:
    """For the process of `peak_mib`."""
    LAYOUTS[name](*inputs(16, "noisy"), window)
    before = high_water_mib()
    LAYOUTS[name](*inputs(size, "noisy"), window)
    print(max(0.0, high_water_mib() - before))


def high_water_mib() -> float:
    """Peak resident memory of this process; on Linux not `getrusage`'s, which starts at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


HEADER = (
    *("device", "size", "window", "maps", "sliding", "naive", "ours", "ratio", "difference", "off float64", "path"),
    *("naive peak", "our peak", "limit", "share"),
)


def row(device: str, case: tuple[int, int, int, str], peaks: dict[str, float], limit: float, arguments) -> list:
    """One line of the table; times are those of one map."""
    size, window, maps, kind = case
    pair = tuple(image.expand(maps, -1, -1, -1).contiguous() for image in inputs(size, kind, device))
    fast = best_time(lambda: ours(*pair, window), device, arguments.repeats) / maps
    slow, ratio, difference, peak = "-", "-", "-", "-"
    if "naive" in peaks and maps == 1:
        seconds = best_time(lambda: naive_lmi(*pair), device, max(1, arguments.repeats // 2))
        slow, ratio, peak = f"{seconds * 1e3:.1f} ms", f"{seconds / fast:.0f}x", f"{peaks['naive']:.0f} MiB"
        difference = f"{(ours(*pair, window) - naive_lmi(*pair)).abs().max().item():.0e}"
    off = f"{off_float64(pair, window):.0e}" if arguments.exact and maps == arguments.maps[0] else "-"
    cells = [device, size, window, maps, kind, slow, f"{fast * 1e3:.3g} ms", ratio, difference, off]
    cells += [path_of(device, window), peak, f"{peaks['ours']:.0f} MiB" if maps == 1 else "-"]
    return [*cells, f"{limit * 1e3:.3g} ms", f"{limit / fast:.0%}"]


def rows(device: str, measured: Rates, arguments: argparse.Namespace) -> Iterator[list]:
    """The table of one device."""
    for window in arguments.windows:
        for size in arguments.sizes:
            layouts = LAYOUTS if window == 3 else ("ours",)
            peaks = {name: peak_mib(name, device, size, window) for name in layouts}
            for maps in arguments.maps:
                for kind in ("clean", "noisy"):
                    limit = measured.limit(size, window)
                    yield row(device, (size, window, maps, kind), peaks, limit, arguments)


def compare(device: str, arguments: argparse.Namespace, results: Results) -> None:
    """The tables of one device."""
    measured = rates(device)
    title = (
        f"{device}: {measured.multiply_adds / 1e9:.1f} G multiply-adds/s (float32), "
        f"{measured.logarithms / 1e9:.2f} G logarithms/s, {measured.bytes / 1e9:.1f} GB/s"
    )
    results.table(HEADER, rows(device, measured, arguments), title)
    if device == "cuda":
        results.table(("kernel", "registers", "spilled bytes"), kernels(), "Triton kernels")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 192, 256])
    parser.add_argument("--windows", type=int, nargs="+", default=[3, 5], choices=[3, 5, 7])
    parser.add_argument("--maps", type=int, nargs="+", default=[1], help="images in one call")
    parser.add_argument("--exact", action="store_true", help="compare with float64 on the CPU; takes seconds a row")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    add_json(parser)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", default=devices, choices=devices)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = False  # the naive layout's products must be float32 too
    results = Results(f"torch {torch.__version__}, {arguments.threads} threads", arguments.json)
    for device in arguments.devices:
        compare(device, arguments, results)


if __name__ == "__main__":
    main()
