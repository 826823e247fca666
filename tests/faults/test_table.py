"""docs/reliability.md and docs/evaluation.md say what the tests say."""

from __future__ import annotations

import subprocess
import sys

from xmodbench.files import REPOSITORY


def test_the_pages_list_the_cases_of_the_tests():
    command = [sys.executable, "-m", "tests.faults.table", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "out of date: run `python -m tests.faults.table` and commit\n" + done.stderr
