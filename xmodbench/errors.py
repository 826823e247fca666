"""The one exception that is shown to users as a line, without a traceback."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"<([\w.]+)[^<>]*? at 0x[0-9a-fA-F]+>|\s*(?:\(0x[0-9a-fA-F]{6,}\)|\bat 0x[0-9a-fA-F]{6,}\b)")


class UserError(Exception):
    """Something the user can put right.

    The message reads ``where: what; fix`` and always fits one line.

    Args:
        what: what is wrong, in the user's terms.
        where: the file, key path or option it was found in.
        fix: what to do about it.
    """

    def __init__(self, what: str, where: object = None, fix: str | None = None):
        self.what, self.where, self.fix = str(what), where, fix
        text = self.what if where is None else f"{where}: {self.what}"
        super().__init__(plain(text if fix is None else f"{text}; {fix}"))


def plain(text: str) -> str:
    """A text as one line of any terminal, log or page.

    Without the addresses in memory that libraries put into theirs, and without control characters or halves of characters.
    """
    return printable(" ".join(_ADDRESS.sub(lambda match: match[1] or "", text).split()))


def printable(text: str) -> str:
    """A text with control characters, line breaks, marks that turn its direction and halves of characters written out."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def said(error: BaseException) -> str:
    """What to tell of an exception that no UserError foresaw, in one line.

    What the system refused is told by the file and the system's words; of others the kind is told too, for who mends them.
    """
    if isinstance(error, OSError) and error.strerror:
        return plain(error.strerror if error.filename is None else f"{error.filename}: {error.strerror}")
    return plain(f"{type(error).__name__}: {error}")


def amount(count: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not one: ``1 subject``, ``3 subjects``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def did_you_mean(word: str, known) -> str | None:
    """``"did you mean 'x'?"`` for the known word nearest to `word`, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
