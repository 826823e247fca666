"""A training that is killed in a folder that is lost with its job, and goes on from a volume in the next one."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.cluster.conftest import STEPWISE
from tests.plugins import write_method
from tests.workflow import stand_in_storage
from tests.workflow.conftest import ENVIRONMENT, Work, write_volumes
from tests.workflow.test_storage import checkout
from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY, read_json


def steps(state) -> int:
    try:
        return read_json(state)[0]
    except UserError:
        return 0


@pytest.mark.slow
def test_a_killed_training_goes_on_from_a_volume(tmp_path):
    """Files go through a storage, and every job has an empty folder: only `paths.work` outlives it."""
    work, volume, store = Work(tmp_path / "started"), tmp_path / "volume", tmp_path / "store"
    checkout(work.folder)
    write_method(work.folder, "toy", STEPWISE)
    work.write_config(methods={"toy": {}}, paths={"work": str(volume)})
    subprocess.run(["git", "add", "--all"], cwd=work.folder, check=True)
    write_volumes(work.folder / "volumes")
    name = "results/tiny/models/toy/heads/t1"
    command = [sys.executable, "-m", "snakemake", name, "--configfile", "config.yaml", "--cores", "1"]
    command += [*stand_in_storage.a_folder_for_every_job(tmp_path / "scheduler"), "--retries", "1"]
    command += ["--default-storage-provider", "folder", "--default-storage-prefix", str(store)]
    path = f"{REPOSITORY}:{stand_in_storage.plugin(tmp_path)}"
    run = subprocess.Popen(
        command, cwd=work.folder, env={**ENVIRONMENT, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )
    state = volume / "tiny" / "toy.heads.t1"
    while steps(state / "state.json") < 100:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.2)
    subprocess.run(["pkill", "-KILL", "-f", f"xmodbench train toy .*{volume}"], check=True)
    (state / "go").touch()
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 0, said
    assert len(list((tmp_path / "scheduler" / "jobs").iterdir())) == 2 and "Trying to restart job" in said
    assert json.loads((store / name / "started_at.json").read_text()) == 100
