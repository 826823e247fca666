"""Whether the names of subjects tell them apart: one person under two names would be in training and in test."""

from __future__ import annotations

import hashlib
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
        UserError: a name cannot be written down or comes twice, or two names differ only in case, in what separates their
            parts, or in the form in which Unicode writes a letter.
    """
    known: dict[str, str] = {}
    for name in (record.subject for record in found if record.subject not in excluded):
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            problem = f"the name of the subject '{name}' has control characters, or is not UTF-8"
            raise UserError(problem, raw_dir, "rename it, or put it into `exclude`")
        other = known.get(_plain(name))
        if other == name:
            raise UserError(f"two subjects are named '{name}'", raw_dir, "give each a name of its own")
        if other is not None:
            problem = f"the subjects '{other}' and '{name}' differ only in case or punctuation"
            raise UserError(problem, raw_dir, "rename one, or put it into `exclude` where they are one person")
        known[_plain(name)] = name


def ascii_name(name: str, also: str = "") -> str:
    """A subject's name as ids hold it: letters and digits of ASCII, dots and hyphens, all else a hyphen.

    Names with letters beyond ASCII get a mark of their own, since those letters may be all that tells them apart; it does
    not depend on the form in which Unicode writes them.

    Args:
        also: further characters that are kept.
    """
    text = unicodedata.normalize("NFKC", name)
    replaced = re.sub(f"[^A-Za-z0-9.{re.escape(also)}-]+", "-", text)
    if text.isascii():
        return replaced
    return f"{replaced}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    # vowel signs and other marks are no letters to Python, and tell names apart all the same
    kept = (letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else "-" for letter in text)
    return re.sub("-+", "-", "".join(kept))
