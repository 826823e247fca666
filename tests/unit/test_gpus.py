"""Which GPUs a job takes: those of its scheduler without waiting, elsewhere one that no other job has, by its UUID."""

from __future__ import annotations

import os
import stat
import sys
from types import SimpleNamespace

import pytest
import torch

from xmodbench.devices import gpus, job_gpus, promised, resolve_device
from xmodbench.devices.gpus import SCHEDULERS, parse_uuids
from xmodbench.errors import UserError
from xmodbench.plan import launch

TWO = "GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)\nGPU 1: NVIDIA H200 (UUID: GPU-bbbb-2)\n"
DIVIDED = """GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)
  MIG 1g.18gb     Device  0: (UUID: MIG-cccc-3)
  MIG 1g.18gb     Device  1: (UUID: MIG-dddd-4)
GPU 1: NVIDIA H200 (UUID: GPU-bbbb-2)
"""
JOBS = {
    "slurm": {"SLURM_JOB_ID": "12"},
    "pbs": {"PBS_JOBID": "12[3].head"},
    "lsf": {"LSB_JOBID": "12", "LSB_JOBINDEX": "0"},
    "sge": {"JOB_ID": "12", "SGE_TASK_ID": "undefined"},
    "oar": {"OAR_JOB_ID": "12"},
    "flux": {"FLUX_JOB_ID": "f12"},
    "kubernetes": {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod-12"},
}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with two GPUs, locks in a folder of the test's, no scheduler; `machine(said, **variables)` changes it."""
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    monkeypatch.setattr(gpus, "_held", [])

    def set_up(said: str = TWO, **variables: str) -> None:
        for name in ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE", *(name for names in SCHEDULERS for name in names)):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\nprint('''{said}''')\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(program.parent))

    set_up()
    return set_up


@pytest.fixture
def taken(monkeypatch):
    """Waiting for a GPU fails, in place of lasting."""
    monkeypatch.setattr(gpus, "time", SimpleNamespace(sleep=lambda s: pytest.fail("waits")))


@pytest.mark.parametrize("scheduler", JOBS)
def test_a_schedulers_jobs_do_not_wait_for_each_other(machine, taken, scheduler, quiet, tmp_path):
    """Each sees its own GPU alone, as device 0."""
    for _ in range(4):
        machine(CUDA_VISIBLE_DEVICES="0", **JOBS[scheduler])
        assert job_gpus(1, quiet) == ["0"]
    assert not list(tmp_path.glob("*0"))  # no lock at all


def test_jobs_within_one_job_of_a_scheduler_share_its_gpus(machine, quiet, monkeypatch):
    """`snakemake --cores` in a job of several GPUs: the jobs take turns, and those of another job are another's."""
    machine(CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID="1")
    assert [job_gpus(1, quiet), job_gpus(1, quiet)] == [["0"], ["1"]]
    machine(CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID="2")
    monkeypatch.setattr(gpus, "time", SimpleNamespace(sleep=lambda s: pytest.fail("waits")))
    assert job_gpus(1, quiet) == ["0"]
    machine(CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID="1")
    with pytest.raises(pytest.fail.Exception, match="waits"):
        job_gpus(1, quiet)


@pytest.mark.parametrize("job", [{}, JOBS["sge"]], ids=["no scheduler", "one that says nothing of GPUs"])
def test_elsewhere_locks_are_by_uuid(machine, taken, job, quiet, monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: ["2", "3"])  # a container's devices keep their numbers
    machine(**job)
    assert job_gpus(1, quiet) == ["GPU-aaaa-1"]
    assert job_gpus(1, quiet) == ["GPU-bbbb-2"]


@pytest.mark.parametrize(
    ("said", "visible", "taken_by_two"),
    [
        (TWO, "1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        (TWO, "GPU-bbbb-2,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        (DIVIDED, "0,1", ["MIG-cccc-3", "GPU-bbbb-2"]),
        (DIVIDED, "MIG-GPU-aaaa/1/0,MIG-dddd-4", ["MIG-GPU-aaaa/1/0", "MIG-dddd-4"]),
        ("", "0,1", ["0", "1"]),
    ],
)
def test_what_the_user_made_visible_is_what_is_locked(machine, said, visible, taken_by_two, quiet):
    machine(said, CUDA_VISIBLE_DEVICES=visible)
    assert job_gpus(1, quiet) + job_gpus(1, quiet) == taken_by_two


def test_the_same_gpu_by_another_name_is_not_taken_twice(machine, taken, quiet):
    machine(CUDA_VISIBLE_DEVICES="GPU-aaaa-1")
    job_gpus(1, quiet)
    machine(CUDA_VISIBLE_DEVICES="0")
    with pytest.raises(pytest.fail.Exception, match="waits"):
        job_gpus(1, quiet)


def test_instances_stand_for_the_gpu_that_is_divided():
    assert parse_uuids(DIVIDED) == [["MIG-cccc-3", "MIG-dddd-4"], ["GPU-bbbb-2"]]


def test_processes_of_one_training_hold_a_gpu_each(machine, taken, quiet, monkeypatch):
    machine(CUDA_VISIBLE_DEVICES="0,1")
    assert launch._take_gpus(2, 1, "auto") == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aaaa-1,GPU-bbbb-2"
    with pytest.raises(pytest.fail.Exception, match="waits"):
        job_gpus(1, quiet)
    machine(CUDA_VISIBLE_DEVICES="0,1,2,3", SLURM_JOB_ID="5")
    assert launch._take_gpus(4, 1, "cuda") == 4
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
    assert launch._take_gpus(6, 2, "cuda") == 4  # of six on two nodes, as Slurm may part them


@pytest.mark.parametrize("job", [{}, JOBS["slurm"]])
def test_fewer_gpus_than_processes_are_refused(machine, job, quiet):
    machine(CUDA_VISIBLE_DEVICES="0,1", **job)
    with pytest.raises(UserError, match=r"4 processes need a GPU each, and there are 2.*set 2"):
        job_gpus(4, quiet)


def test_a_cpu_takes_none(machine):
    machine(CUDA_VISIBLE_DEVICES="0")
    assert launch._take_gpus(4, 2, "cpu") == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


# -- a GPU that was given and is not found ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("variables", "asked", "expected"),
    [
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "1"}, 0, 1),  # srun by hand
        ({"SLURM_JOB_ID": "1"}, 2, 2),
        ({"PBS_JOBID": "1", "CUDA_VISIBLE_DEVICES": "0"}, 1, 1),
        ({"SLURM_JOB_ID": "1"}, 0, 0),
        ({"CUDA_VISIBLE_DEVICES": "0"}, 1, 0),  # this machine's: the CPU will do
        ({"CUDA_VISIBLE_DEVICES": ""}, 1, 1),  # a cluster's job of a scheduler that is not known
        ({}, 0, 0),
    ],
)
def test_gpus_that_a_job_has_to_find(machine, variables, asked, expected):
    machine(**variables)
    assert promised(asked) == expected


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("visible", ["", "0"])
def test_a_job_that_was_given_a_gpu_and_finds_none_fails(device, visible, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"this job was given a GPU, and torch finds none on .*compute\.device"):
        resolve_device(device, promised=1)
    assert resolve_device("cpu", promised=1) == "cpu"
    assert resolve_device("auto") == "cpu"
