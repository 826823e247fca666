"""The table of docs/reliability.md, made from the tests that carry ``@pytest.mark.fault(group, case, outcome)``.

    python -m tests.faults.table            writes it
    python -m tests.faults.table --check    says whether it is out of date (a test does that as well)

A row is a case, not a test: a test that is run with many parameters may be one case or, with marks on its parameters, many.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout

import pytest

from xmodbench.files import REPOSITORY

PAGE = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- made by tests/faults/table.py -->", "<!-- end -->"
GROUPS = (
    *("config", "plugin", "volumes", "download", "archives", "checkpoints", "exported models", "workflow"),
    "metrics and statistics",
    "report and command line",
)

Rows = dict[tuple[str, str], tuple[str, str]]
"""Outcome and file of each case, by group and case."""


class Collector:
    """Takes the marks off the tests that pytest finds."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("fault"):
                group, case, outcome = mark.args
                file = item.path.relative_to(REPOSITORY).as_posix()
                assert group in GROUPS, f"{item.nodeid}: unknown group '{group}'"
                known = self.rows.setdefault((group, case), (outcome, file))
                assert known == (outcome, file), f"{item.nodeid}: the case '{case}' has two outcomes or files"


def collected(*paths: str) -> Rows:
    """The cases of all tests, or of those under `paths`."""
    collector = Collector()
    options = ["--collect-only", "-p", "no:cacheprovider", "--rootdir", str(REPOSITORY)]
    said = io.StringIO()
    with redirect_stdout(said):
        code = pytest.main([*options, *(paths or marked())], [collector])
    assert code == 0, f"the tests cannot be collected\n{said.getvalue()[-2000:]}"
    return collector.rows


def marked() -> list[str]:
    """Test files with a case in them: to import the others would take most of the time."""
    files = sorted((REPOSITORY / "tests").rglob("test_*.py"))
    return [str(path) for path in files if "fault" in path.read_text(encoding="utf-8")]


def rendered(rows: Rows) -> str:
    """A table for each group, in the order of the tests."""
    parts = [f"{len(rows)} cases."]
    for group in GROUPS:
        own = {case: found for (of, case), found in rows.items() if of == group}
        parts.append(f"## {group[0].upper()}{group[1:]}: {len(own)}\n")
        parts[-1] += "\n| what goes wrong | what happens | tried in |\n|---|---|---|\n"
        parts[-1] += "\n".join(f"| {case} | {outcome} | `{file}` |" for case, (outcome, file) in own.items())
    return "\n\n".join(parts) + "\n"


def page(rows: Rows) -> str:
    """The page with its table made anew; what stands before and after it is kept."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{rendered(rows)}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Write the page, or check it; the exit code says whether it is, or was, up to date."""
    text = page(collected())
    if "--check" in sys.argv:
        return int(text != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
