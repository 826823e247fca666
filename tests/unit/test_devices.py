"""One job per GPU, whatever the workflow's own counting does."""

import select
import subprocess
import sys
import time

import pytest
import torch
from snakemake.iocontainers import Wildcards

from tests.plugins import write_dataset, write_method
from tests.unit.test_plan import DATASET
from xmodbench.cli.app import app
from xmodbench.devices import resolve_device
from xmodbench.errors import UserError
from xmodbench.plan import launch
from xmodbench.plan.config import parse_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.launch import MODULE
from xmodbench.plan.plan import Plan
from xmodbench.records import read_record

CODE = """
import sys, time
from pathlib import Path
from xmodbench.devices import claim
from xmodbench.progress import Progress
print(*claim(["0", "1"], Path(sys.argv[1]), Progress(quiet=True), *map(int, sys.argv[2:]), poll_s=0.05), flush=True)
sys.stdin.read()
"""


def start(folder, count=1):
    command = [sys.executable, "-c", CODE, str(folder), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(*jobs):
    for job in jobs:
        job.stdin.close()
        job.wait(30)


def test_three_jobs_share_two_gpus(tmp_path):
    first, second = start(tmp_path), start(tmp_path)
    assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == {"0", "1"}
    third = start(tmp_path)
    second.kill()  # even a killed job gives its GPU back
    second.wait()
    freed = third.stdout.readline().strip()
    assert freed in {"0", "1"}
    ended(first, third)


def test_who_needs_both_gets_them_one_after_the_other_and_none_waits_for_ever(tmp_path):
    one = start(tmp_path)
    assert one.stdout.readline().strip() == "0"
    several = [start(tmp_path, 2) for _ in range(2)]
    time.sleep(0.3)  # one of them holds the second GPU meanwhile
    ended(one)
    ready, _, _ = select.select([job.stdout for job in several], [], [], 30)
    assert len(ready) == 1
    first = next(job for job in several if job.stdout is ready[0])
    assert first.stdout.readline().split() == ["0", "1"]
    ended(first)
    second = next(job for job in several if job is not first)
    assert second.stdout.readline().split() == ["0", "1"]
    ended(second)


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
    assert found["several"][2] == ["python", "-m", MODULE, "--processes", "2", "--device", "auto"]


@pytest.mark.parametrize(("device", "first"), [("cpu", True), ("auto", False), ("cuda", False)])
def test_trainings_come_first_only_where_nothing_waits_for_a_gpu(device, first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_method(tmp_path, "one")
    write_dataset(tmp_path, "toy", DATASET)
    values = {"run": "r", "datasets": {"toy": {}}, "methods": {"one": {}}, "compute": {"device": device}}
    assert Jobs(Plan(parse_config(values, "c"), "c"), lambda: True).asks.training_priority == int(first)


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


# -- arithmetic -----------------------------------------------------------------------------------------------------------
def flags() -> list[bool]:
    return [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]


@pytest.fixture
def torchs_own(monkeypatch):
    """torch's defaults, and a GPU as far as the choice of a device goes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    before = flags()
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("asked", ["cuda", "auto"])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_gpu_keeps_single_precision_unless_asked(asked, allowed, torchs_own):
    assert resolve_device(asked, *([True] if allowed else [])) == "cuda"
    assert flags() == [allowed, allowed]


def test_on_a_cpu_nothing_is_set(torchs_own):
    assert resolve_device("cpu") == "cpu"
    assert flags() == [True, False]


ON_A_GPU = """
import torch
torch.cuda.is_available = lambda: True
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): run.facts["flags"] = self.flags()
    def flags(self): return [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]
    def save(self, directory): (directory / "w").write_text("1")
    def load(self, directory, run): run.facts["flags"] = self.flags()
    def translate(self, source, generators): return source
"""


@pytest.mark.parametrize("option", [pytest.param([], marks=pytest.mark.slow), ["--tf32"]])
def test_a_jobs_record_says_how_it_computed(option, tmp_path, make_store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # none to wait for
    write_method(tmp_path, "toy", ON_A_GPU)
    store = str(make_store(tmp_path / "store", n=2))
    both = ["--data", store, "--target", "t1", *option]
    records = {}
    for device in ("cuda", "cpu"):
        model, out = (str(tmp_path / f"{name}-{device}") for name in ("model", "out"))
        for verb, *others in (
            ("train", "--state", str(tmp_path / "state"), "--out", model),
            ("translate", "--model", model, "--source", "pd", "--out", out),
        ):
            app([verb, "toy", *both, *others, "--device", device], standalone_mode=False)
            records[device, verb] = read_record(tmp_path / others[-1])
    for verb in ("train", "translate"):
        assert records["cuda", verb]["tf32"] is bool(option)
        assert records["cuda", verb]["flags"] == [bool(option)] * 2
        assert "tf32" not in records["cpu", verb]


@pytest.mark.parametrize("allowed", [False, True])
def test_the_config_may_allow_it_to_trainings_and_translations(allowed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_method(tmp_path, "toy")
    write_dataset(tmp_path, "toy", DATASET)
    compute = {"tf32": True} if allowed else {}
    values = {"run": "r", "datasets": {"toy": {}}, "methods": {"toy": {}}, "compute": compute}
    jobs = Jobs(Plan(parse_config(values, "c"), "c"), lambda: True)
    training = Wildcards(fromdict={"training": "toy", "dataset": "toy", "model": "mr"})
    translation = Wildcards(fromdict={"method": "toy", "dataset": "toy", "source": "ct", "target": "mr"})
    found = [jobs.training_options(training), jobs.method_options(translation)]
    assert ["--tf32" in options for options in found] == [allowed, allowed]


# -- what a cluster is asked for ----------------------------------------------------------------------------------------
@pytest.fixture
def asked(tmp_path, monkeypatch):
    """`asked(site, **compute)`: what a training asks a cluster for, whose profile says `site`."""
    monkeypatch.chdir(tmp_path)
    write_method(tmp_path, "several", meta="label: A\nsummary: b\nseveral_processes: [train]\n")
    write_method(tmp_path, "control", meta="label: A\nsummary: b\nresources: {gpu: 0}\n")
    write_dataset(tmp_path, "toy", DATASET)

    def jobs(site: dict[str, str], **compute) -> Jobs:
        values = {"run": "r", "datasets": {"toy": {}}, "methods": {"several": {}, "control": {}}, "compute": compute}
        return Jobs(Plan(parse_config(values, "c"), "c"), lambda: False, site=site.get)

    return jobs


def training(name: str) -> Wildcards:
    return Wildcards(fromdict={"training": name, "dataset": "toy", "model": "mr"})


def test_where_gpus_are_generic_resources_they_are_asked_for_as_such(asked):
    found = asked({"gpu_gres": "gpu:a100"}, processes=2).asks
    assert (found.gpu(training("several")), found.gres(training("several"))) == (0, "gpu:a100:2")
    assert (found.gpu(training("control")), found.gres(training("control"))) == (0, None)
    usual = asked({}, processes=2).asks
    assert (usual.gpu(training("several")), usual.gres(training("several"))) == (2, None)
    assert asked({"gpu_gres": "gpu"}, device="cpu").asks.gres(training("several")) is None


def test_a_limit_of_this_machines_gpus_governs_no_cluster(asked, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    found = asked({}, processes=2).asks
    assert found.local_gpu(training("several")) is None
    found.runs_here = lambda: True
    assert [found.local_gpu(training(name)) for name in ("several", "control")] == [2, None]
    assert asked({}, device="cpu").asks.local_gpu(training("several")) is None


CELL = {"dataset": "toy", "source": "ct", "target": "mr"}


def translation(name: str, **more: str) -> Wildcards:
    return Wildcards(fromdict={"method": name, **CELL, **more})


def test_controls_are_a_group_and_nothing_else_is(asked):
    found = asked({}, device="cpu").asks
    assert [found.group(job(name)) for job in (translation, training) for name in ("control", "several")] == [
        *("controls", None),
        *("controls", None),
    ]
    found.runs_here = lambda: True
    assert found.group(translation("control")) is None


def test_where_a_profile_asks_for_it_a_model_is_one_job(asked):
    found = asked({"one_job_per_model": "1"}, device="cpu").asks
    assert found.group(training("several")) == found.group(translation("several")) == "several.toy.mr"
    assert found.group(translation("control")) == "controls"
    assert found.group(translation("several", part="1", parts="2")) is None
    first = Wildcards(fromdict={"pretraining": "several", "dataset": "toy", "model": "mr"})
    found.plan.pretrainings["toy", "several"] = found.plan.trainings["toy", "several"]
    assert found.group(first) is None
    assert asked({"one_job_per_model": "1"}, processes=2, nodes=2).asks.group(training("several")) is None
    # a group's jobs must agree on what they call their GPUs: gpu:2 and gpu:1
    gres = {"one_job_per_model": "1", "gpu_gres": "gpu"}
    assert asked(gres, processes=2).asks.group(training("several")) is None
    assert asked(gres, processes=1).asks.group(training("several")) == "several.toy.mr"


def test_nodes_are_asked_for_where_several_processes_train(asked):
    found = asked({}, processes=4, nodes=2, threads=3).asks
    words = ("nodes", "mpi", "tasks", "tasks_per_gpu", "cpus_per_task", "threads", "gpu")
    told = {name: [getattr(found, word)(training(name)) for word in words] for name in ("several", "control")}
    assert told["several"] == [2, "srun", 2, 0, 6, 12, 4]
    assert told["control"] == [1, None, None, None, None, 1, 0]
    assert found.launcher(training("several"))[-4:] == ["--nodes", "2", "--threads", "6"]


def test_processes_that_cannot_be_divided_among_nodes_are_refused(asked):
    with pytest.raises(UserError, match="3 processes cannot be divided evenly among 2 nodes"):
        asked({}, processes=3, nodes=2)


def test_without_slurm_there_is_one_node(monkeypatch, capsys):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SystemExit, match="only a job of Slurm's can start processes on several nodes"):
        launch.main(["--processes", "2", "--nodes", "2", "--device", "cpu", "xmodbench", "train"])
