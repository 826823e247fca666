"""A training divided among two nodes, by the rule that trains on one."""

from __future__ import annotations

import json
import subprocess

import pytest
from safetensors.torch import load_file

from tests.cluster.conftest import OnSlurm, ended
from tests.cluster.slurm import Slurm, holds_jobs, lacking
from tests.workflow.conftest import write_volumes

pytestmark = pytest.mark.cluster
TINY = {"preset": "short", "width": 8, "iterations": 6, "batch_size": 2, "snapshots": 0}


@pytest.fixture
def two_nodes(place, tmp_path) -> OnSlurm:
    if (reason := lacking()) is not None:
        pytest.skip(reason)
    with Slurm(place, nodes=2, gpus=2, cgroups=holds_jobs()) as slurm:
        work = OnSlurm(tmp_path / "work", slurm)
        write_volumes(work.folder / "volumes")
        yield work


def test_a_process_on_each_of_two_nodes_trains_as_two_on_one(two_nodes):
    compute = {"device": "cpu", "threads": 1, "processes": 2}
    two_nodes.write_config(methods={"sdedit": {"settings": TINY}}, compute=compute)
    done = two_nodes.run(*two_nodes.targets("sdedit"))
    assert done.returncode == 0, done.stderr
    on_one = {path.name: load_file(path) for path in two_nodes.model("sdedit").rglob("*.safetensors")}
    subprocess.run(["rm", "-r", str(two_nodes.model("sdedit"))], check=True)

    two_nodes.write_config(methods={"sdedit": {"settings": TINY}}, compute={**compute, "nodes": 2})
    ended(two_nodes.submit(*two_nodes.targets("sdedit")))
    told = two_nodes.slurm.said("scontrol", "show", "job", "1")
    assert "NodeList=node[0-1]" in told and "NumNodes=2" in told
    assert json.loads((two_nodes.model("sdedit") / "record.json").read_text())["processes"] == 2
    on_two = {path.name: load_file(path) for path in two_nodes.model("sdedit").rglob("*.safetensors")}
    assert on_one.keys() == on_two.keys() and on_one
    for name, weights in on_one.items():
        assert all(bool((weights[key] == on_two[name][key]).all()) for key in weights)
