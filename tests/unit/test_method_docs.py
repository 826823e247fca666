"""docs/methods.md names every method, under the supervision that its class declares."""

from __future__ import annotations

import re

import pytest

from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, Supervision, available, find

PAGE = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")
HEADINGS = {
    Supervision.ZERO_SHOT: "Zero-shot",
    Supervision.FEW_SHOT: "Few-shot",
    Supervision.PAIRED: "Paired",
    Supervision.CONTROL: "Controls",
}


def rows(heading):
    """Methods of the table under a heading, and how many cells each row has."""
    section = re.split(r"^## ", PAGE.split(f"## {heading}")[1], flags=re.MULTILINE)[0]
    return {
        name: row.count(" | ")
        for name, row in re.findall(r"^\| (?:\[(\w+)\]\(\.\./methods/\w+/README\.md\))(.*)", section, re.M)
    }


@pytest.mark.parametrize("name", sorted(available(METHODS)))
def test_every_method_has_its_row_under_its_supervision(name):
    wanted = HEADINGS[find(METHODS, name).cls.supervision]
    assert [heading for heading in HEADINGS.values() if name in rows(heading)] == [wanted]


def test_rows_are_whole_and_of_methods_there_are():
    for heading in HEADINGS.values():
        found = rows(heading)
        assert set(found) <= set(available(METHODS))
        assert len(set(found.values())) == 1
