"""Whether the names of subjects tell them apart: one person under two names would be in training and in test."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable
from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.plugins import SubjectRecord


def check_names(found: Iterable[SubjectRecord], excluded: Container[str], raw_dir: Path) -> None:
    """Refuse subjects of whom their names do not say whether they are one or two.

    Args:
        found: subjects of the raw folder.
        excluded: names of those that are left out anyway.

    Raises:
        UserError: a name comes twice, or two names differ only in case, in what separates their parts, or in the form in
            which Unicode writes a letter.
    """
    known: dict[str, str] = {}
    for name in (record.subject for record in found if record.subject not in excluded):
        other = known.get(_plain(name))
        if other == name:
            raise UserError(f"two subjects are named '{name}'", raw_dir, "give each a name of its own")
        if other is not None:
            problem = f"the subjects '{other}' and '{name}' differ only in case or punctuation"
            raise UserError(problem, raw_dir, "rename one, or put it into `exclude` where they are one person")
        known[_plain(name)] = name


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", name).casefold())
