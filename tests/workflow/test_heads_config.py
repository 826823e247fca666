"""config/heads.yaml, as somebody with one head would call it; its PD was scanned on another grid than its T1."""

import subprocess
import sys

import pandas as pd
import pytest

from tests.phantoms import darker, grid, head, write
from tests.workflow.conftest import ENVIRONMENT

SMALL = ("datasets.heads.settings.image_size=32", "methods.midiffusion.settings.iterations=20")


@pytest.mark.slow
def test_one_head_on_two_grids_becomes_a_table(tmp_path):
    write(tmp_path / "mine" / "sub01T1.nii.gz", head("mr", grid()))
    other = grid("RAS", size=(70, 80, 50), spacing=(2.4, 2.6, 3.4), angles=(3.0, -2.0, 4.0))
    write(tmp_path / "mine" / "sub01PD.nii.gz", darker(head("mr", other, seed=1)))
    command = [sys.executable, "-m", "xmodbench", "run", "heads", "--cores", "2"]
    for value in (f"datasets.heads.raw={tmp_path / 'mine'}", *SMALL):
        command += ["--set", value]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "results" / "heads" / "table.csv")
    assert set(table["method"]) == {"midiffusion", "copy_source", "mean_image", "shuffled_target", "oracle"}
    assert set(zip(table["source"], table["target"], strict=True)) == {("pd", "t1"), ("t1", "pd")}
    # what is bright in one is dark in the other
    psnr = table[(table["metric"] == "standard.psnr") & (table["source"] == "pd")].set_index("method")["mean"]
    assert psnr["mean_image"] > psnr["copy_source"] + 3
