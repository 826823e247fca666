"""What it costs to plan a large benchmark: seconds and memory of a dry run over the number of cells.

    python benchmarks/planning.py [--methods 1 10 100] [--datasets 10] [--seeds 10]

Writes configs of methods x data sets x two directions x seeds, every method with its own trainings, and has Snakemake plan
each (`snakemake -n`). Seconds are those of the processor, which a busy machine does not change much; memory is the peak.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from common import table

from xmodbench.files import REPOSITORY


def config(methods: int, datasets: int, seeds: int) -> dict:
    """A benchmark of that size; the methods differ in how they are trained, so that none shares a model."""
    entries = {
        f"m{number}": {"plugin": "sdedit", "settings": {"preset": "short", "iterations": 1000 + number}}
        for number in range(methods)
    }
    return {
        "run": "large",
        "seeds": list(range(seeds)),
        "datasets": {f"d{number}": {"plugin": "sim_ixi"} for number in range(datasets)},
        "methods": entries,
    }


def planned(values: dict, folder: Path) -> tuple[int, float, float, float]:
    """Jobs of a config; processor seconds, seconds and peak memory (MiB) of Snakemake's dry run."""
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", "config.yaml"]
    began, peak, log = time.monotonic(), 0.0, folder / "said.txt"
    with log.open("w") as said:
        process = subprocess.Popen(
            [*command, "-n", "--quiet", "rules", "reason", "host"],
            cwd=folder,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    # not `ru_maxrss`: a process begins with that of the one that started it
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, peak_mib(process.pid))
        time.sleep(0.1)
    _, status, usage = ended
    total = re.search(r"^total +(\d+)$", log.read_text(), re.MULTILINE)
    if status != 0 or total is None:
        sys.exit(log.read_text()[-3000:])
    return int(total[1]), usage.ru_utime + usage.ru_stime, time.monotonic() - began, peak


def peak_mib(pid: int) -> float:
    """Most memory that a process has had so far; 0 once it has ended."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Plan each size, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--datasets", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    rows = []
    for methods in given.methods:
        with tempfile.TemporaryDirectory() as folder:
            jobs, cpu, clock, memory = planned(config(methods, given.datasets, given.seeds), Path(folder))
        cells = methods * given.datasets * 2 * given.seeds
        rows.append((methods, cells, jobs, f"{cpu:.1f}", f"{1e3 * cpu / jobs:.2f}", f"{clock:.1f}", f"{memory:.0f}"))
        print(*rows[-1], file=sys.stderr)
    print(table(("methods", "cells", "jobs", "CPU s", "ms per job", "clock s", "peak MiB"), rows))


if __name__ == "__main__":
    main()
