"""A row of what doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "optional", "missing"]


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    Attributes:
        group, name: what it is.
        state: ``ok``; ``optional`` where it lacks but nothing of this run needs it; ``missing`` where something does.
        fact: what was found.
        fix: what to type or do where it is not ``ok``.
    """

    group: str
    name: str
    state: State
    fact: str
    fix: str = ""


def lacking(needed: bool) -> State:
    """The state of what is not there."""
    return "missing" if needed else "optional"
