"""Trainings on a real Slurm: four at once on four GPUs, cancelled, out of time, out of memory, without a controller."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.cluster.conftest import ended, wait_for
from tests.cluster.slurm import holds_jobs
from tests.plugins import write_method
from xmodbench.files import REPOSITORY

pytestmark = pytest.mark.cluster
ALL = ("one", "two", "three", "four")
A_GPU = ("--set-resources", "train:gpu=1")  # asked for, though `device: cpu` would ask for none: no torch finds these
held = pytest.mark.skipif(not holds_jobs(), reason="needs control groups of version 1")


def jobs(slurm, states: str = "running") -> list[str]:
    """Numbers of Slurm's jobs."""
    return slurm.said("squeue", "-h", "-t", states, "-o", "%i").split()


def test_four_trainings_on_four_gpus_at_once(work, undisturbed):
    """Whatever profiles/default, which is read as well, says of this machine's one GPU."""
    run = work.submit(*A_GPU, *work.targets(*ALL), profile="--profile")
    wait_for(lambda: all(work.steps(name) == 100 for name in ALL), run)
    told = [work.slurm.said("scontrol", "-d", "show", "job", number) for number in jobs(work.slurm)]
    assert sorted(re.findall(r"GRES=gpu:1\(IDX:(\d)\)", " ".join(told))) == ["0", "1", "2", "3"]
    assert all("Partition=gpu" in text and "NumNodes=1 " in text for text in told)
    for name in ALL:
        (work.state(name) / "go").touch()
    ended(run)
    assert {work.value(name) for name in ALL} == {undisturbed}


def test_a_training_and_its_translation_are_one_job_on_one_gpu(work, undisturbed):
    work.site("one_job_per_model: 1")
    work.state("one").mkdir(parents=True)
    (work.state("one") / "go").touch()
    before = jobs(work.slurm, "all")
    translation = "results/tiny/translations/one/heads/pd-to-t1/record.json"
    said = ended(work.submit(*A_GPU, "translate:gpu=1", "--", translation))
    own = [number for number in jobs(work.slurm, "all") if number not in before]
    assert len(own) == 1 and "Group job one.heads.t1" in said
    assert "TresPerJob=gres:gpu:1" in work.slurm.said("scontrol", "show", "job", own[0])
    assert (work.folder / translation).is_file() and work.value("one") == undisturbed


@held
def test_nobody_waits_for_a_gpu_that_a_scheduler_has_given(slurm):
    """Each of four jobs sees its GPU as device 0, since the kernel hides the others."""
    code = (
        "import time\n"
        "from xmodbench.devices import job_environment\n"
        "from xmodbench.progress import Progress\n"
        "print(job_environment('auto', 1, Progress())['CUDA_VISIBLE_DEVICES'])\n"
        "time.sleep(10)\n"
    )
    command = ["srun", "--gpus=1", "--mem=500", sys.executable, "-c", code]
    environment = {**slurm.environment, "PYTHONPATH": str(REPOSITORY)}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    at_once = [subprocess.Popen(command, env=environment, **both) for _ in range(4)]
    said = [job.communicate(timeout=300)[0] for job in at_once]
    assert [text.strip() for text in said] == ["0"] * 4


@pytest.mark.parametrize("site", [[], ['gpu_gres: "gpu"', "slurm-requeue: true"]], ids=["--gpus", "--gres"])
def test_a_job_that_was_given_a_gpu_and_finds_none_fails_with_a_line(work, site):
    work.site(*site)
    values = yaml.safe_load(work.config.read_text())
    work.config.write_text(yaml.safe_dump({**values, "compute": {"device": "auto", "threads": 1}}))
    run = work.submit("--retries", "0", *work.targets("one"))
    said = run.communicate(timeout=600)[0]
    assert run.returncode == 1
    assert "this job was given a GPU, and torch finds none on" in said
    told = work.slurm.said("scontrol", "show", "job", jobs(work.slurm, "failed")[-1])
    assert ("TresPerNode=gres:gpu:1" in told, "TresPerJob=gres:gpu:1" in told) == (bool(site), not site)
    assert f"Requeue={int(bool(site))}" in told and "Partition=gpu" in told


def test_a_cancelled_training_goes_on_to_the_same_bits(work, undisturbed):
    run = work.submit(*A_GPU, *work.targets("one"))
    wait_for(lambda: work.steps("one") == 100, run)
    number = jobs(work.slurm)
    work.slurm.said("scancel", *number)
    wait_for(lambda: number[0] not in jobs(work.slurm, "all") or jobs(work.slurm) not in (number, []), run)
    (work.state("one") / "go").touch()
    said = ended(run)
    assert "SLURM status is: 'CANCELLED'" in said
    assert json.loads((work.model("one") / "started_at.json").read_text()) == 100
    assert work.value("one") == undisturbed


def test_a_training_out_of_time_goes_on_to_the_same_bits(work, undisturbed):
    run = work.submit(*A_GPU, "train:runtime=attempt**3", *work.targets("one"))
    wait_for(lambda: work.steps("one") == 100, run)
    first = jobs(work.slurm)
    wait_for(lambda: jobs(work.slurm) not in (first, []), run)
    (work.state("one") / "go").touch()
    said = ended(run)
    assert "SLURM status is: 'TIMEOUT'" in said
    assert json.loads((work.model("one") / "started_at.json").read_text()) == 100
    assert work.value("one") == undisturbed


def test_a_killed_controller_costs_nothing_but_time(work, undisturbed):
    """The job ends while nobody listens; whoever asks learns it from the next controller."""
    run = work.submit(*A_GPU, *work.targets("one"))
    wait_for(lambda: work.steps("one") == 100, run)
    number = jobs(work.slurm)
    work.slurm.kill_controller()
    (work.state("one") / "go").touch()
    wait_for((work.model("one") / "record.json").exists, run)
    work.slurm.start_controller()
    ended(run)
    assert jobs(work.slurm, "completed")[-1:] == number
    assert work.value("one") == undisturbed


EATING = """
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): self.eaten = [np.ones(2**27) for _ in range(4)]
    def save(self, directory): (directory / "w").write_text("1")
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""


@held
def test_a_job_out_of_memory_says_so(work):
    meta = "label: A\nsummary: b\nresources: {gpu: 0, mem_mb: 1500, runtime: 30}\n"
    write_method(work.folder, "one", EATING, meta=meta)
    run = work.submit("--retries", "0", *work.targets("one"))
    said = run.communicate(timeout=600)[0]
    assert run.returncode == 1
    assert "its process was killed (SIGKILL); most likely for want of memory" in said


def test_parts_of_a_translation_as_one_array(work):
    values = yaml.safe_load(work.config.read_text())
    work.config.write_text(yaml.safe_dump({**values, "methods": {"one": {"translate_jobs": 4}}}))
    work.state("one").mkdir(parents=True)
    (work.state("one") / "go").touch()
    assert work.run(*work.targets("one")).returncode == 0
    said = ended(
        work.submit("--slurm-array-jobs", "translate_part", "results/tiny/translations/one/heads/pd-to-t1/record.json")
    )
    assert "The individual task IDs are 1-4" in said
    assert len(list((work.results / "parts").rglob("record.json"))) == 4
