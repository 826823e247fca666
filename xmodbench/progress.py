"""Progress of a job: a bar on a terminal, otherwise a line now and then with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Progress:
    """Reports to standard error, so that a job's log holds it.

    Args:
        every_s: seconds between two lines when standard error is no terminal.
    """

    def __init__(self, every_s: float = 15.0, quiet: bool = False):
        self.every_s, self.quiet = every_s, quiet

    def track(self, items: Iterable[T], label: str, total: int | None = None, start: int = 0) -> Iterator[T]:
        """Yield `items` while reporting how many are done and the time left; `start` were done by an earlier job."""
        terminal = sys.stderr.isatty()
        yield from tqdm(
            items,
            desc=label,
            total=total,
            initial=start,
            disable=self.quiet,
            file=sys.stderr,
            mininterval=0.5 if terminal else self.every_s,
            ascii=None if terminal else " .",
            ncols=None if terminal else 100,
            dynamic_ncols=terminal,
        )

    def say(self, text: str) -> None:
        """A line of its own, with the time."""
        if not self.quiet:
            tqdm.write(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr)
