"""How long a run takes, and how many of its jobs' seconds go to starting and importing instead of to work.

    python benchmarks/jobs.py [demo] [--cores all] [--folder FOLDER]

Runs a config from nothing, in a temporary folder unless one is given, with Python reporting its imports to the jobs' logs
(``PYTHONPROFILEIMPORTTIME``, which makes them a little slower than they are). A job's seconds are those that Snakemake
counts; what is not spent importing is taken for work. The rest of the run's clock is Snakemake's: planning, starting jobs.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from common import measured, table

IMPORTED = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)  # the module's own microseconds


def importing_seconds(log: str) -> float:
    """Seconds that the processes of a job spent importing, from its log."""
    return sum(map(int, IMPORTED.findall(log))) / 1e6


def jobs(results: Path) -> dict[str, list[tuple[float, float]]]:
    """Of every rule, its jobs' seconds and how many of them were spent importing."""
    found = defaultdict(list)
    for timing in sorted((results / "benchmarks").rglob("*.tsv")):
        place = timing.relative_to(results / "benchmarks")
        seconds = float(measured(timing)["s"])
        log = (results / "logs" / place).with_suffix(".log").read_text(errors="replace")
        found[place.parts[0] if len(place.parts) > 1 else place.stem].append((seconds, importing_seconds(log)))
    return dict(found)


def rows(found: dict[str, list[tuple[float, float]]]) -> list[tuple]:
    """The table: a row for each rule, the longest first, and one for all."""
    totals = {rule: [sum(column) for column in zip(*pairs, strict=True)] for rule, pairs in found.items()}
    by_length = sorted(totals, key=lambda rule: -totals[rule][0])
    lines = [(rule, len(found[rule]), *totals[rule]) for rule in by_length]
    lines.append(("all", *(sum(column) for column in list(zip(*lines, strict=True))[1:])))
    return [(rule, n, f"{took:.0f}", f"{lost:.0f}", f"{lost / took:.1%}") for rule, n, took, lost in lines]


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="demo", help="a file, or a shipped config's name")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--folder", type=Path, help="to run in; empty, and kept")
    arguments = parser.parse_args()
    config = Path(arguments.config)
    config = str(config.absolute()) if config.is_file() else arguments.config
    command = [sys.executable, "-m", "xmodbench", "run", config, "--cores", arguments.cores]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        # only what jobs say is wanted: Snakemake's own imports go with the rest of its output
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        took = time.monotonic() - started
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (spent.ru_utime + spent.ru_stime) / took
        (results,) = (path.parent for path in (folder / "results").glob("*/benchmarks"))
        print(
            f"{arguments.config}: {took / 60:.2f} minutes, from nothing; {busy:.2f} of {os.cpu_count()} cores were busy\n"
        )
        print(table(("jobs of", "jobs", "seconds", "of these importing", "share"), rows(jobs(results))))


if __name__ == "__main__":
    main()
