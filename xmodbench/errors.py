"""The one exception that is shown to users as a line, without a traceback."""

from __future__ import annotations


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
        super().__init__(one_line(text if fix is None else f"{text}; {fix}"))


def one_line(text: str) -> str:
    """Text that fits one line of any terminal, log or page: no line breaks, control characters or halves of characters."""
    text = " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def did_you_mean(word: str, known) -> str | None:
    """``"did you mean 'x'?"`` for the known word nearest to `word`, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
