"""How often Snakemake looks for jobs to start while others run."""

from __future__ import annotations

import subprocess
import sys

import pytest

SNAKEFILE = """
from xmodbench.plan.snakemake import look_when_there_is_news
from snakemake.scheduling.job_scheduler import JobScheduler

looks, select = [], JobScheduler.job_selector
def counted(self, jobs):
    looks.append(1)
    return select(self, jobs)
JobScheduler.job_selector = counted

onstart:
    if config.get("news"):
        look_when_there_is_news(workflow)
onsuccess:
    print("looks:", len(looks))
rule all:
    input: "slow", "later", expand("quick{n}", n=range(6))
rule quick:
    output: touch("quick{n}")
    priority: 2
    shell: "true"
rule slow:
    output: touch("slow")
    priority: 1
    shell: "sleep 4"
rule later:
    output: touch("later")
    shell: "true"
"""


@pytest.mark.parametrize(("options", "few"), [([], True), (["--max-jobs-per-timespan", "50/1s"], False)])
def test_it_looks_when_a_job_has_ended(tmp_path, options, few):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "1",
        "--config",
        "news=1",
        *options,
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    looks = int(run.stdout.rpartition("looks:")[2].split()[0])
    # eight jobs end; with a limit that somebody asked for each end begins a look every second besides
    assert (looks <= 12) == few, looks
