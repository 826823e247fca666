"""The tests that need a GPU: how many passed, and the first that failed.

    python benchmarks/gpu_tests.py [--workers 4] [--device cuda] [--json FILE]

With ``--device cuda`` a skipped test is a failure: no GPU was seen. Only files with such tests are read: the others need
packages that a GPU machine may lack.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from common import Results, add_json

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY

FIRST = 5
COUNTS = ("tests", "passed", "failed", "skipped", "seconds")


def files() -> list[str]:
    """Test files with a mark of a GPU."""
    return [
        str(path.relative_to(REPOSITORY))
        for path in sorted((REPOSITORY / "tests").rglob("test_*.py"))
        if "@pytest.mark.gpu" in path.read_text(encoding="utf-8")
    ]


def run(workers: int, report: Path) -> int:
    """Run them; pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}"]
    if workers > 1 and importlib.util.find_spec("xdist"):
        command += ["-p", "xdist.plugin", "-n", str(workers)]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # a machine's own plugins may not suit this pytest
    return subprocess.run([*command, *files()], cwd=REPOSITORY, env=alone, check=False).returncode


def counted(report: Path) -> tuple[list[object], list[tuple[str, str]]]:
    """Cells of the table, and name and message of the first failures, from pytest's report."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    if suite is None:
        raise UserError("no results in pytest's report", report)
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    problems = [
        (case.get("name", "?"), " ".join((found.get("message") or "").split())[:200].replace("|", "/"))
        for case in suite.iter("testcase")
        for found in (*case.findall("failure"), *case.findall("error"))
    ]
    return [total, total - failed - skipped, failed, skipped, suite.get("time", "")], problems[:FIRST]


def main() -> None:
    """Print the tables; exits with pytest's code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1, help="processes, where pytest-xdist is there")
    parser.add_argument("--device", default="cpu")
    add_json(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run(given.workers, report)
        counts, problems = counted(report)
    results = Results("pytest -m gpu", given.json)
    results.table(COUNTS, [counts])
    if problems:
        results.table(("test", "failure"), problems)
    if given.device == "cuda" and counts[3]:
        raise UserError(f"{counts[3]} tests were skipped", "pytest -m gpu", "see that torch sees the GPU")
    sys.exit(code)


if __name__ == "__main__":
    main()
