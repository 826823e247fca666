"""What `xmodbench plan` says of a run before it begins, beside what its jobs then took.

    python benchmarks/plan_against_run.py config/demo.yaml [--folder FOLDER] [--rates]

For a finished run, or as much of it as is done. The estimate is that of an empty folder: rates are those of
``xmodbench/plan/rates.csv`` alone, none of the run's own records, and nothing of it is there. What the jobs took is what
Snakemake measured of each (``<results>/benchmarks``), by the clock and on the processor; on a busy machine the clock says
little. With ``--rates`` the rates that follow from the run are printed as rows of that table: of the processor, a job's
start taken off.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import measured, table

from xmodbench.errors import UserError
from xmodbench.plan.config import find_config, load_config
from xmodbench.plan.estimate import OF_METHODS, Estimate
from xmodbench.plan.job_list import Job, JobList
from xmodbench.plan.plan import Plan
from xmodbench.plan.rates import ANY
from xmodbench.records import read_record

SHORTEST_S = 1.0
"""Of the processor, beyond a job's start: less is no rate."""


@dataclass(frozen=True)
class Compared:
    """A job of which it is known what it took.

    Attributes:
        estimated: seconds, None where there is no rate.
        clock, processor: seconds that Snakemake measured.
    """

    job: Job
    what: str
    estimated: float | None
    clock: float
    processor: float


def compared(plan: Plan) -> tuple[Estimate, list[Compared]]:
    """The estimate of a plan in an empty folder, and the jobs of it that are done here."""
    with tempfile.TemporaryDirectory() as empty:
        places = {name: f"{empty}/{name}" for name in ("raw", "data", "results", "work")}
        paths = plan.config.paths.model_copy(update=places)
        before = Estimate(Plan(plan.config.model_copy(update={"paths": paths}), plan.where))
        jobs = zip(before.list.jobs.values(), JobList(plan).jobs.values(), strict=True)
        found = []
        for job, here in jobs:
            timing = plan.results / "benchmarks" / here.log.relative_to(plan.results / "logs").with_suffix(".tsv")
            if timing.is_file():
                took = measured(timing)
                spent = float(took["s"]), float(took["cpu_time"])
                found.append(Compared(here, before.what(job), before.seconds(job), *spent))
        return before, found


def rows(found: Sequence[Compared], key) -> list[tuple]:
    """A row for each value of `key`, the longest first, and one for all."""
    groups = defaultdict(list)
    for one in found:
        groups[key(one)].append(one)
    lines = [
        _row(name, group) for name, group in sorted(groups.items(), key=lambda item: -sum(o.clock for o in item[1]))
    ]
    return [*lines, _row("all", found)]


def _row(name: str, group: Sequence[Compared]) -> tuple:
    known = [one for one in group if one.estimated is not None]
    estimated, clock, processor = (
        sum(values) for values in ((o.estimated for o in known), (o.clock for o in group), (o.processor for o in group))
    )
    factor = f"{estimated / processor:.2f}" if len(known) == len(group) and processor else ""
    told = "unknown" if not known else f"{estimated:.0f}" + (" and unknown" if len(known) < len(group) else "")
    return name, len(group), told, f"{clock:.0f}", f"{processor:.0f}", factor


def rates(estimate: Estimate, found: Sequence[Compared]) -> Iterator[tuple]:
    """Rows of the table of rates: plugin, verb, device, network, width, size, amount, value, unit."""
    amounts: dict[tuple, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in found:
        if one.job.rule not in OF_METHODS or estimate.is_plain(one.job):
            continue
        done = estimate.work(one.job)
        device = read_record(one.job.record.parent)["device"] if one.job.record.is_file() else "cpu"
        spent = (one.processor if device == "cpu" else one.clock) - estimate.start(one.job)
        if done is not None and spent > SHORTEST_S:
            network = ANY if done.network.startswith("settings ") else done.network
            verb = one.job.rule.removesuffix("_part")
            key = (estimate.plugin(one.job).id, verb, device, network, f"{done.width:g}", f"{done.size:g}")
            amounts[key] = [a + b for a, b in zip(amounts[key], (done.amount, spent), strict=True)]
    for key, (amount, value) in sorted(amounts.items()):
        yield *key, f"{amount:.0f}", f"{value:.3g}", "s"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="demo", help="a file, or a shipped config's name")
    parser.add_argument("--folder", type=Path, default=Path(), help="that it ran in")
    parser.add_argument("--rates", action="store_true", help="print the rates that follow from the run instead")
    arguments = parser.parse_args()
    path = Path(find_config(arguments.config)).absolute()
    os.chdir(arguments.folder)
    plan = Plan(load_config(path), arguments.config)
    estimate, found = compared(plan)
    if not found:
        raise SystemExit(str(UserError("holds no timings of this config's jobs", plan.results, "run it first")))
    if arguments.rates:
        print("\n".join(",".join(map(str, row)) for row in rates(estimate, found)))
        return
    header = ("of", "jobs", "estimated s", "clock s", "processor s", "estimated / processor")
    print(f"{plan.where}: {len(found)} of {len(estimate.list.jobs)} jobs have run\n")
    print(table(header, rows(found, lambda one: one.job.rule)))
    print(f"\n{table(header, rows([one for one in found if one.job.rule in OF_METHODS], lambda one: one.what))}")


if __name__ == "__main__":
    main()
