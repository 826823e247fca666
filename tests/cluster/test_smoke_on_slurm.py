"""Every method of the repository on a real Slurm, to the same bits as on this machine alone, in less than twice the time."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import OnSlurm, ended
from tests.workflow.conftest import Work
from xmodbench.files import REPOSITORY, sha256_file

pytestmark = pytest.mark.cluster
RESULTS = ("models/**/*.safetensors", "translations/**/*.npy", "scores/*.csv", "table.csv")


def bits(results: Path) -> dict[str, str]:
    """Hashes of everything that was computed, by its place."""
    found = [path for pattern in RESULTS for path in results.glob(pattern)]
    return {str(path.relative_to(results)): sha256_file(path) for path in found}


def test_the_smoke_matrix_has_the_same_bits_in_less_than_twice_the_time(slurm, tmp_path, capsys):
    here, there = Work(tmp_path / "here"), OnSlurm(tmp_path / "there", slurm)
    here.folder.mkdir()
    here.config = there.config = REPOSITORY / "config" / "smoke.yaml"
    began = time.monotonic()
    done = here.run()
    assert done.returncode == 0, done.stderr
    without = time.monotonic() - began
    there.site("local_scores: 1", "one_job_per_model: 1")
    began = time.monotonic()
    said = ended(there.submit(), seconds=3600)
    on_slurm = time.monotonic() - began
    with capsys.disabled():
        print(f"\nthe smoke matrix: {on_slurm:.0f} s on Slurm, {without:.0f} s without")
    assert said.count("Group job controls") == 1 and "localrule score:" in said
    # one training alone, and one with two translations that could stand side by side
    assert "Group job midiffusion.sim_ixi.t1" in said and "Group job sdedit.sim_ixi.t1" in said
    expected = bits(here.folder / "results" / "smoke")
    assert len(expected) > 30
    assert bits(there.folder / "results" / "smoke") == expected
    assert "Partition=cpu" in slurm.said("scontrol", "show", "job")
    shutil.rmtree(there.folder)
    assert on_slurm < 2 * without
