"""The command line: one line and a non-zero exit for what is wrong."""

import os
import subprocess
import sys

import pytest

from xmodbench.cli.runs import parse_overrides
from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY


def xmodbench(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "xmodbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def test_check_says_what_would_run(tmp_path):
    done = xmodbench("check", REPOSITORY / "config" / "demo.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "48 cells, 48 trainings, run 'demo'" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "none.yaml"], "none.yaml: no such config file"),
        (["validate", "oracel"], "unknown method; did you mean 'oracle'?"),
        (
            ["train", "oracle", "--data", "x", "--target", "t1", "--out", "o", "--state", "s", "--settings", "{"],
            "--settings: not valid JSON",
        ),
        (["train", "oracle", "--data", "x", "--target", "t1", "--out", "o", "--state", "s"], "x: no slice store here"),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, expected):
    done = xmodbench(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("xmodbench: error: ")
    assert expected in done.stderr


def test_bad_flags_are_usage_errors(tmp_path):
    done = xmodbench("train", "oracle", "--nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_overrides():
    made = parse_overrides(["datasets.heads.raw=/my/volumes", "seed=3", "datasets.heads.directions=[t1->pd]"])
    assert made == {"datasets": {"heads": {"raw": "/my/volumes", "directions": ["t1->pd"]}}, "seed": 3}
    with pytest.raises(UserError, match="'seed' is not KEY=VALUE"):
        parse_overrides(["seed"])
