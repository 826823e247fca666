"""Progress of a job: a bar on a terminal, otherwise a line now and then with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from xmodbench.errors import printable

T = TypeVar("T")
FIRST_S = 1.0
"""Seconds to the first line in a log; each of the next comes after twice as long."""


class Progress:
    """Reports to standard error, so that a job's log holds it.

    Args:
        every_s: seconds between two lines when standard error is no terminal; the first ones come sooner, so that it is soon
            known how long it will take.
    """

    def __init__(self, every_s: float = 15.0, quiet: bool = False):
        self.every_s, self.quiet = every_s, quiet

    def track(self, items: Iterable[T], label: str, total: int | None = None, start: int = 0) -> Iterator[T]:
        """Yield `items` while reporting how many are done and the time left; `start` were done by an earlier job."""
        from tqdm import tqdm

        label = printable(label)
        if sys.stderr.isatty() and not self.quiet:
            yield from tqdm(items, desc=label, total=total, initial=start, file=sys.stderr, dynamic_ncols=True)
            return
        began = said = time.monotonic()
        done, wait = start, min(FIRST_S, self.every_s)
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - said >= wait or (done == total and now - began >= self.every_s):
                said, wait = now, min(2 * wait, self.every_s)
                self.say(tqdm.format_meter(done, total, now - began, prefix=label, initial=start, ncols=0))

    @contextmanager
    def meter(self, label: str, total: int | None, start: int = 0) -> Iterator[Callable[[int], None]]:
        """Yield a function to be told how many bytes came; reports amount, rate and time left."""
        from tqdm import tqdm

        label = printable(label)
        options = {"unit": "B", "unit_scale": True, "initial": start}
        if sys.stderr.isatty() and not self.quiet:
            with tqdm(desc=label, total=total, file=sys.stderr, dynamic_ncols=True, **options) as bar:
                yield lambda count: bar.update(count) and None
            return
        began = said = time.monotonic()
        done, wait = start, min(FIRST_S, self.every_s)

        def came(count: int) -> None:
            nonlocal done, said, wait
            done += count
            now = time.monotonic()
            if now - said >= wait:
                said, wait = now, min(2 * wait, self.every_s)
                self.say(tqdm.format_meter(done, total, now - began, prefix=label, ncols=0, **options))

        yield came

    def say(self, text: str) -> None:
        """A line of its own, with the time; names of files and people in it may hold what a terminal would obey."""
        if not self.quiet:
            from tqdm import tqdm

            tqdm.write(f"[{time.strftime('%H:%M:%S')}] {printable(text)}", file=sys.stderr)
