"""Every method of the repository on a real Slurm, to the same bits as on this machine alone."""

from __future__ import annotations

import shutil
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


def test_the_smoke_matrix_has_the_same_bits(slurm, tmp_path):
    here, there = Work(tmp_path / "here"), OnSlurm(tmp_path / "there", slurm)
    here.folder.mkdir()
    here.config = there.config = REPOSITORY / "config" / "smoke.yaml"
    done = here.run()
    assert done.returncode == 0, done.stderr
    there.site("local_scores: 1")
    said = ended(there.submit(), seconds=3600)
    assert said.count("Group job controls") == 1 and "localrule score:" in said
    expected = bits(here.folder / "results" / "smoke")
    assert len(expected) > 30
    assert bits(there.folder / "results" / "smoke") == expected
    assert "Partition=cpu" in slurm.said("scontrol", "show", "job")
    shutil.rmtree(there.folder)
