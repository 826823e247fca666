"""Results of `on_gpu.py` as Markdown; the standard library alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """Machine, what came of each part, and all tables."""
    kind = "A rehearsal in the smallest sizes, no measurement. " if found["tiny"] else ""
    lines = [
        f"{kind}Commit {found['commit']}, {found['date']}, {found['seconds']:.0f} s of {found['budget_s']:.0f}.",
        "",
        *table(("machine", ""), found["machine"].items()),
        "",
        *table(("part", "status", "seconds", ""), map(outcome, found["parts"])),
    ]
    for part in found["parts"]:
        if part["tables"]:
            lines += ["", *part_tables(part)]
    return "\n".join(lines) + "\n"


def outcome(part: dict[str, Any]) -> tuple:
    """A row: how a part went."""
    return part["title"], part["status"], f"{part['seconds']:.0f}", part["last_line"]


def part_tables(part: dict[str, Any]) -> list[str]:
    """Lines of a section with a part's tables."""
    lines = [f"## {part['title']}", ""]
    if part["status"] != "ok":
        lines += [f"**{part['status'].capitalize()}** ({part['last_line'] or 'not complete'}).", ""]
    if part["heading"]:
        lines += [part["heading"], ""]
    for one in part["tables"]:
        lines += [*([one["title"], ""] if one["title"] else []), *table(one["header"], one["rows"]), ""]
    return lines[:-1]


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(_cell(value) for value in row)} |" for row in (header, ["---"] * len(header), *rows)]


def _cell(value: object) -> str:
    return str(value).replace("|", "/").replace("\n", " ")
