"""A training ended in the middle, as a scheduler or a power cut would, to see whether it goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xmodbench.progress import Progress, T


class Interruption:
    """Counts the steps a training reports and the files it opens for writing in its state folder, and ends it at one.

    A process has one: what it watches with cannot be taken back.

    Args:
        state: the folder of the state.
        steps: SIGTERM is sent after so many steps; 0: never.
        writes: SIGKILL when the next file is opened after so many; 0: never.
    """

    def __init__(self, state: Path, steps: int = 0, writes: int = 0):
        self.folder = f"{state.resolve()}{os.sep}"
        self.end_at, self.steps, self.writes = (steps, writes), 0, 0
        self.progress = _Counted(self)
        sys.addaudithook(self._note)

    def step(self) -> None:
        """A step has been done."""
        self.steps += 1
        if self.steps == self.end_at[0]:
            os.kill(os.getpid(), signal.SIGTERM)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes)):
            return
        writing = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writing and os.path.join(os.getcwd(), os.fsdecode(arguments[0])).startswith(self.folder):
            if self.end_at[1] and self.writes == self.end_at[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            self.writes += 1


class _Counted(Progress):
    """Says nothing, and tells an interruption of each step."""

    def __init__(self, interruption: Interruption):
        super().__init__(quiet=True)
        self.interruption = interruption

    def track(self, items: Iterable[T], label: str, total: int | None = None, start: int = 0) -> Iterator[T]:
        """Yield `items`."""
        for item in items:
            yield item
            self.interruption.step()
