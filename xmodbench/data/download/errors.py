"""What can be wrong with one file, told apart from what would stop any other too: a full disk, rights, another process."""

from __future__ import annotations

from xmodbench.errors import UserError


class NotFetched(UserError):
    """No address gives the file; `gone` where each of them says that there is no such file."""

    def __init__(self, what: str, where: object = None, fix: str | None = None, *, gone: bool = False):
        super().__init__(what, where, fix)
        self.gone = gone


class Damaged(UserError):
    """The file is not the one that was published or fetched before, or no archive that can be unpacked."""
