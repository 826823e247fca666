"""Tables made from the marks that tests carry: ``fault(group, case, outcome)`` in docs/reliability.md, and in
docs/evaluation.md ``planted(fault, check)`` and ``reference(what, against, agreement)``.

    python -m tests.faults.table            writes them
    python -m tests.faults.table --check    says whether they are out of date (a test does that as well)

A row is a case, not a test: a test that is run with many parameters may be one case or, with marks on its parameters, many.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from xmodbench.files import REPOSITORY
from xmodbench.generate.markers import between

PAGE, EVALUATION = (REPOSITORY / "docs" / name for name in ("reliability.md", "evaluation.md"))
BEGIN, END = "<!-- made by tests/faults/table.py{} -->", "<!-- end -->"
EVIDENCE = {
    "planted": ("what is planted", "what fails in the report"),
    "reference": ("what", "compared with", "agree", "tried in"),
}
"""Marks whose rows stand in docs/evaluation.md, with the headings of their tables."""
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
        self.evidence: dict[str, dict[tuple[str, ...], str]] = {name: {} for name in EVIDENCE}  # rows and their files

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            file = item.path.relative_to(REPOSITORY).as_posix()
            for name, rows in self.evidence.items():
                rows |= {
                    mark.args: file for mark in reversed(list(item.iter_markers(name)))
                }  # as they stand in the file
            for mark in item.iter_markers("fault"):
                group, case, outcome = mark.args
                assert group in GROUPS, f"{item.nodeid}: unknown group '{group}'"
                known = self.rows.setdefault((group, case), (outcome, file))
                assert known == (outcome, file), f"{item.nodeid}: the case '{case}' has two outcomes or files"


def collected(*paths: str) -> Collector:
    """What all tests are marked with, or those under `paths`."""
    collector = Collector()
    options = ["--collect-only", "-p", "no:cacheprovider", "--rootdir", str(REPOSITORY)]
    said = io.StringIO()
    with redirect_stdout(said):
        code = pytest.main([*options, *(paths or marked())], [collector])
    assert code == 0, f"the tests cannot be collected\n{said.getvalue()[-2000:]}"
    return collector


def marked() -> list[str]:
    """Test files with a mark in them: to import the others would take most of the time."""
    files = sorted((REPOSITORY / "tests").rglob("test_*.py"))
    marks = [f"mark.{name}" for name in ("fault", *EVIDENCE)]
    return [str(path) for path in files if any(mark in path.read_text(encoding="utf-8") for mark in marks)]


def rendered(rows: Rows) -> str:
    """A table for each group, in the order of the tests."""
    parts = [f"{len(rows)} cases."]
    for group in GROUPS:
        own = {case: found for (of, case), found in rows.items() if of == group}
        parts.append(f"## {group[0].upper()}{group[1:]}: {len(own)}\n")
        parts[-1] += "\n| what goes wrong | what happens | tried in |\n|---|---|---|\n"
        parts[-1] += "\n".join(f"| {case} | {outcome} | `{file}` |" for case, (outcome, file) in own.items())
    return "\n\n".join(parts) + "\n"


def compared(name: str, rows: dict[tuple[str, ...], str]) -> str:
    """The rows of one mark, in the order of the tests."""
    heading = EVIDENCE[name]
    lines = [(*cells, f"`{file}`")[: len(heading)] for cells, file in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, ["---"] * len(heading), *lines)) + "\n"


def pages(found: Collector) -> dict[Path, str]:
    """The pages with their tables made anew; what stands before and after these is kept."""
    made = {path: path.read_text(encoding="utf-8") for path in (PAGE, EVALUATION)}
    tables = [(PAGE, "", rendered(found.rows))]
    tables += [(EVALUATION, f": {name}", compared(name, rows)) for name, rows in found.evidence.items()]
    for path, which, table in tables:
        made[path] = between(made[path], BEGIN.format(which), END, table, path)
    return made


def main() -> int:
    """Write the pages, or check them; the exit code says whether they are, or were, up to date."""
    made = pages(collected())
    if "--check" in sys.argv:
        return int(any(text != path.read_text(encoding="utf-8") for path, text in made.items()))
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
