"""What the benchmarks share: the machine's name, times, and methods by name."""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from xmodbench.devices import resolve_device
from xmodbench.files import write_json
from xmodbench.plugins import METHODS, Method, Run, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
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
    torch.set_num_threads(threads)
    return Run(seed, resolve_device(device), folder, Progress(quiet=quiet), threads)


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


def peak(device: str, precision: str = "fp32") -> float:
    """Multiply-adds per second of a product of large matrices, in the arithmetic of a run's convolutions."""
    side = 8192 if device.startswith("cuda") else 2048
    a, b = torch.randn(2, side, side, device=device).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    with _products_as_convolutions():
        a @ b
        return side**3 / seconds(lambda: a @ b, device, 5)


@contextmanager
def _products_as_convolutions() -> Iterator[None]:
    """On CUDA convolutions may round to TF32 where products do not: shares above 100 %."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def arithmetic(device: str, precision: str) -> str:
    """What `peak` measured, for a heading: ``fp32``, ``TF32`` or ``bf16``."""
    tf32 = device.startswith("cuda") and torch.backends.cudnn.allow_tf32
    return "TF32" if precision == "fp32" and tf32 else precision


def add_options(parser: argparse.ArgumentParser, precisions: Sequence[str] = ("fp32", "bf16")) -> None:
    """Where and in which precision to run."""
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=precisions, default="fp32", help="of the networks and of the peak")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where the tables are kept for other programs."""
    parser.add_argument("--json", type=Path, help="write the tables into this file too, after every row")


class Results:
    """A benchmark's heading and tables: printed as Markdown, and kept in a file that is whole after every row.

    Args:
        heading: what was measured, and on what.
        file: JSON ``{heading, tables: [{title, header, rows}]}``, its cells as printed; none is written if left out.
    """

    def __init__(self, heading: str, file: Path | None = None):
        self.file, self.tables = file, []
        self.heading = heading
        print(f"{heading}\n", flush=True)
        self._keep()

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
        """Print a table row by row, as `rows` are measured."""
        kept: list[list[str]] = []
        self.tables.append({"title": title, "header": list(header), "rows": kept})
        print((f"{title}\n\n" if title else "") + table(header, []), flush=True)
        for row in rows:
            kept.append([str(cell) for cell in row])
            print(line(row), flush=True)
            self._keep()
        print(flush=True)

    def _keep(self) -> None:
        if self.file is not None:
            write_json(self.file, {"heading": self.heading, "tables": self.tables})


def multiply_adds(work: Callable[[], object]) -> float:
    """Of convolutions and matrix products in `work`, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def evaluations(sampler: str, steps: int) -> int:
    """Evaluations of network and cross map for one image."""
    return 2 * steps - 1 if sampler == "heun" else steps


def measured(timing: Path) -> dict[str, str]:
    """What Snakemake measured of a job's last run, such as ``s``, seconds by the clock, and ``cpu_time``."""
    with timing.open() as lines:
        return list(csv.DictReader(lines, delimiter="\t"))[-1]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    return "\n".join(map(line, [header, ["---"] * len(header), *rows]))


def line(cells: Sequence[object]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"
