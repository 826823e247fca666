"""A disk that fills up stops a job with one line, leaves nothing half-written, and the job can be run again."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.store import SliceStore

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["xmodbench", *sys.argv[2:]]
from xmodbench.cli import main
main()
"""
PATTERNS = '{"patterns": {"a": "{subject}-a.nii", "b": "{subject}-b.nii"}, "image_size": 128}'


def limited(limit, *arguments):
    command = [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def volumes(tmp_path):
    z, y, x = np.mgrid[-1:1:12j, -1:1:32j, -1:1:32j]
    head = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.9) ** 2 < 1
    (tmp_path / "raw").mkdir()
    for index in range(2):
        for name, value in (("a", 400), ("b", 700)):
            noise = np.random.default_rng(index).normal(0, 20, head.shape)
            image = sitk.GetImageFromArray((value * head + noise).astype(np.float32))
            image.SetSpacing((6.0, 6.0, 12.0))
            sitk.WriteImage(image, str(tmp_path / f"raw/s{index}-{name}.nii"))
    return tmp_path


@pytest.mark.fault(
    "volumes", "the disk fills up while slices are written", "one line; only the record of the failure is left"
)
def test_a_full_disk_while_preparing(volumes):
    arguments = ["prepare", "mine", "--plugin", "folder", "--raw", volumes / "raw", "--out", volumes / "data"]
    done = limited(100_000, *arguments, "--settings", PATTERNS)
    assert done.returncode == 1
    assert "no space is left for it; free some space" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    left = [path.name for path in (volumes / "data").rglob("*") if path.is_file()]
    assert left == ["failure.json"]
    assert limited(50_000_000, *arguments, "--settings", PATTERNS).returncode == 0
    assert SliceStore(volumes / "data/test").ids
    assert not (volumes / "data/failure.json").exists()
