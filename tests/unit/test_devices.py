"""One job per GPU, whatever the workflow's own counting does."""

import subprocess
import sys

from snakemake.iocontainers import Wildcards

from tests.plugins import write_dataset, write_method
from tests.unit.test_plan import DATASET
from xmodbench.plan.config import parse_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.plan import Plan

CODE = """
import sys, time
from pathlib import Path
from xmodbench.devices import claim
from xmodbench.progress import Progress
print(claim(["0", "1"], Path(sys.argv[1]), Progress(quiet=True), poll_s=0.05), flush=True)
sys.stdin.read()
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_three_jobs_share_two_gpus(tmp_path):
    first, second = start(tmp_path), start(tmp_path)
    assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == {"0", "1"}
    third = start(tmp_path)
    second.kill()  # even a killed job gives its GPU back
    second.wait()
    freed = third.stdout.readline().strip()
    assert freed in {"0", "1"}
    for job in (first, third):
        job.stdin.close()
        job.wait(10)


def test_several_processes_are_launched_for_methods_that_can(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    write_method(tmp_path, "one")
    write_method(tmp_path, "several", meta="label: A\nsummary: b\nseveral_processes: [train]\n")
    write_dataset(tmp_path, "toy", DATASET)
    compute = {"device": "auto", "threads": 2, "processes": 2}
    values = {"run": "r", "datasets": {"toy": {}}, "methods": {"one": {}, "several": {}}, "compute": compute}
    jobs = Jobs(Plan(parse_config(values, "c"), "c"), lambda: True)
    found = {}
    for name in ("one", "several"):
        wildcards = Wildcards(fromdict={"training": name, "dataset": "toy", "model": "mr"})
        found[name] = (jobs.asks.gpu(wildcards), jobs.asks.threads(wildcards), jobs.asks.launcher(wildcards))
    assert found["one"] == (1, 2, ["python", "-m"])
    assert found["several"][:2] == (2, 4)
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    assert found["several"][2] == ["python", "-m", *launcher]


def test_auto_counts_gpus_only_where_there_are_some(tmp_path, monkeypatch):
    """Without a GPU, jobs with `device: auto` must not queue for one; on a cluster they ask for one."""
    monkeypatch.chdir(tmp_path)
    write_method(tmp_path, "toy")
    write_dataset(tmp_path, "toy", DATASET)

    def gpus(device: str, here: bool, visible: str) -> int:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        values = {"run": "r", "datasets": {"toy": {}}, "methods": {"toy": {}}, "compute": {"device": device}}
        jobs = Jobs(Plan(parse_config(values, "c"), "c"), lambda: here)
        return jobs.asks.gpu(Wildcards(fromdict={"method": "toy"}))

    assert gpus("auto", here=True, visible="") == 0
    assert gpus("auto", here=True, visible="0,1") == 1
    assert gpus("auto", here=False, visible="") == 1
    assert gpus("cuda", here=True, visible="") == 1
    assert gpus("cpu", here=False, visible="0") == 0
