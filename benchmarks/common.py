"""What the benchmarks share: the machine's name, times, and methods by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from xmodbench.config import validated
from xmodbench.contract import phantom
from xmodbench.plugins import METHODS, Method, Run, find
from xmodbench.progress import Progress


def method(name: str, **settings) -> Method:
    """A method plugin with settings."""
    cls = find(METHODS, name).cls
    return cls(validated(cls.Config, settings, "benchmark"))


def slices(count: int, size: int) -> np.ndarray:
    """Phantoms ``[count, 1, size, size]`` in [0, 1]: flat regions with soft edges on black, as in heads."""
    small = torch.from_numpy(phantom(count, 1))
    return torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic").clamp(0, 1).numpy()


def run_on(device: str, folder: Path, threads: int, seed: int = 1, quiet: bool = False) -> Run:
    """What a method gets: `device` may be ``auto``."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    return Run(seed, device, folder, Progress(quiet=quiet), threads)


def machine(device: str, threads: int) -> str:
    """The device for a heading, such as ``AMD EPYC, 2 threads, torch 2.15.0``."""
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{_processor()} ({load}), {threads} thread(s), torch {torch.__version__}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")


def seconds(work: Callable[[], object], device: str, repeats: int = 1) -> float:
    """Seconds `work` takes, the least of `repeats`.

    On a CPU those of the processor, summed over threads, which other jobs on the machine hardly change; on a GPU those of
    the clock, until it has finished.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    found = []
    for _ in range(repeats):
        _finish(device)
        start = clock()
        work()
        _finish(device)
        found.append(clock() - start)
    return min(found)


def peak(device: str, side: int = 2048) -> float:
    """Multiply-adds per second of a product of large matrices."""
    a, b = torch.randn(2, side, side, device=device)
    a @ b
    return side**3 / seconds(lambda: a @ b, device, 5)


def multiply_adds(work: Callable[[], object]) -> float:
    """Of convolutions and matrix products in `work`, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
