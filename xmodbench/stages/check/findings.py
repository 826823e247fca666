"""What a check found: a line for each requirement, and each cause told once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from xmodbench.errors import UserError
from xmodbench.plugins.discovery import Location
from xmodbench.stages.wall.forking import PRELOADED, ForkServer
from xmodbench.stages.wall.walled import Limits, Start

MOST_LINES = 1000
"""Lines that a plugin may print while it is checked; its jobs' logs are read by people."""
TAIL = 2**13


@dataclass(frozen=True)
class Finding:
    """A requirement and how it stands: ``problem`` where it is broken, ``warnings`` where it is doubtful.

    ``asked`` is False where what it builds on is broken; ``output`` is the end of what the plugin printed.
    """

    requirement: str
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    asked: bool = True
    output: str = ""


@dataclass
class Room:
    """Where the checks of one plugin happen: a folder of their own, limits, what starts processes, what those print.

    Attributes:
        again: how to start processes that have imported some modules beforehand; None where that is settled.
        warnings: of the check that runs now.
    """

    folder: Path
    limits: Limits
    start: Start
    again: Callable[[list[str]], Start] | None = None
    warnings: list[str] = field(default_factory=list)
    _warned: set[str] = field(default_factory=set)
    _logs: int = 0
    _log: IO[bytes] | None = None

    def warn(self, text: str) -> None:
        """Say once what is doubtful."""
        if text not in self._warned:
            self._warned.add(text)
            self.warnings.append(text)

    @contextmanager
    def log(self) -> Iterator[IO[bytes]]:
        """A file for a process's output; a UserError where it printed more than anybody would read."""
        self._logs += 1
        with (self.folder / f"output-{self._logs}").open("w+b") as log:
            self._log = log
            yield log
            log.seek(0)
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(2**20), b""))
        if lines > MOST_LINES:
            fix = f"say what people will read (at most {MOST_LINES}), and follow steps with run.progress.track"
            raise UserError(f"prints {lines} lines on a few small slices", "its output", fix)

    def preload(self, modules: list[str]) -> None:
        """Start the processes that follow with what the first of them took long to import."""
        if modules and self.again is not None:
            self.start, self.again = self.again(modules), None

    def said(self) -> str:
        """The end of what the last process printed."""
        path = self.folder / f"output-{self._logs}"
        if not path.is_file():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL))
            return log.read().decode("utf-8", "replace")


@contextmanager
def room(limits: Limits, start: Start | None = None) -> Iterator[Room]:
    """A room that is gone afterwards, with all that the plugin left there.

    Args:
        start: starts processes; a fork server of its own if left out.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xmodbench-check-")))
        if start is not None:
            yield Room(folder, limits, start)
            return

        def server(modules: list[str]) -> Start:
            return stack.enter_context(ForkServer([*PRELOADED, *modules])).start

        yield Room(folder, limits, server([]), server)


class NotAsked(Exception):
    """Nothing is wrong, but this and what builds on it cannot be asked; the text says why."""


@dataclass(frozen=True)
class Check:
    """A requirement, and what raises UserError where it is broken; ``apart``: the others do not build on it."""

    requirement: str
    ask: Callable[[], None]
    apart: bool = False


def findings(checks: list[Check], where: Room) -> Iterator[Finding]:
    """Ask one after the other; after one that is broken those that build on it are not asked."""
    broken = False
    for check in checks:
        if broken:
            yield Finding(check.requirement, asked=False)
            continue
        where.warnings.clear()
        try:
            check.ask()
        except NotAsked as reason:
            broken = True
            yield Finding(check.requirement, warnings=(*where.warnings, str(reason)), asked=False)
        except UserError as error:
            broken = not check.apart
            yield Finding(check.requirement, str(error), tuple(where.warnings), output=where.said())
        else:
            yield Finding(check.requirement, warnings=tuple(where.warnings))


def check_readme(location: Location, fix: str) -> None:
    """Raise UserError unless a README stands beside the plugin's code."""
    path = location.folder / "README.md"
    if not path.is_file():
        raise UserError("missing", path, fix)
