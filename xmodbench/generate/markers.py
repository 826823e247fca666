"""Parts of a page that are made, between two markers; what stands before and after them is kept."""

from __future__ import annotations

from pathlib import Path

from xmodbench.errors import UserError


def between(text: str, begin: str, end: str, made: str, page: Path) -> str:
    """A page's text with what stands between a marker and the next `end` made anew.

    Raises:
        UserError: a marker is not there.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise UserError(f"lacks the marker {end if found else begin}", page, "put both where the part is to stand")
    return f"{before}{begin}\n\n{made}\n{end}{after}"
