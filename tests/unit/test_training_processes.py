"""Two processes that train one model, started by torchrun, against one process with the same batches."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import below, done, finished, started, stopped, wait_for
from xmodbench.plan.lifeline import lives
from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import locate
from xmodbench.records import read_record
from xmodbench.stages.state_folder import owned
from xmodbench.stages.train import train
from xmodbench.stages.wall.method_job import MethodJob

SETTINGS = {"preset": "short", "width": 8, "iterations": 24, "snapshots": 2, "checkpoint_s": 1e-3}


def job(store: Path, out: Path, **changed: object) -> subprocess.Popen:
    """`xmodbench train sdedit` in two processes with batches of two."""
    settings = json.dumps({**SETTINGS, "batch_size": 2, **changed})
    command = ["-m", "xmodbench", "train", "sdedit", "--data", store, "--target", "t1", "--out", out]
    command += ["--state", out.with_suffix(".state"), "--settings", settings, "--device", "cpu", "--threads", "1"]
    return started(*command)


def losses(out: Path) -> list[float]:
    with (out / "loss.csv").open() as handle:
        return [float(row["loss"]) for row in csv.DictReader(handle)]


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", n=8, size=16)


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_double_batch_and_resume(store, tmp_path, quiet):
    one, two = tmp_path / "one", tmp_path / "two"
    settings = {**SETTINGS, "batch_size": 4}
    alone = MethodJob("sdedit", locate(METHODS, "sdedit"), settings, 1, "cpu", 1, quiet)
    train(alone, store, "t1", None, one, tmp_path / "one.state")

    state = two.with_suffix(".state") / "diffusion" / "state.json"
    assert 8 <= stopped(job(store, two), state, 8) <= SETTINGS["iterations"]
    assert not (two / "record.json").exists()

    said = finished(job(store, two))
    assert said.count("resumed at step") == 1  # the second process is silent
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    record = read_record(two)
    assert (record["processes"], record["slices_per_step"]) == (2, 4)
    assert {path.name for path in two.rglob("*.png")} == {path.name for path in one.rglob("*.png")}


@pytest.mark.fault(
    "checkpoints",
    "torchrun is killed with signal 9 while its processes train",
    "they save their state and end with it, so that they neither hinder a successor nor write beside it",
)
def test_processes_end_with_the_torchrun_that_started_them(store, tmp_path, quiet):
    out, steps = tmp_path / "out", 5000
    state = out.with_suffix(".state") / "diffusion" / "state.json"
    launcher = job(store, out, iterations=steps)
    wait_for(launcher, state, 2)
    ranks = below(launcher.pid)
    try:
        assert len(ranks) >= 4  # two, and the method's process of each
        launcher.kill()
        launcher.wait()
        until = time.monotonic() + 30
        while any(map(lives, ranks)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(lives, ranks))
    finally:
        for pid in filter(lives, ranks):
            os.kill(pid, signal.SIGKILL)
        launcher.communicate(timeout=60)
    assert 2 <= done(state) < steps and not (out / "record.json").exists()
    with owned(out.with_suffix(".state"), quiet):
        pass
