"""validate: put a method plugin through the checks of its contract, in a process of its own that may hang or die.

The process is asked for nothing: it does one check after the other and writes a line of JSON for each. Where it says nothing
for too long it is ended, and another one goes on with the next check.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import IS_CHECKOUT, REPOSITORY
from xmodbench.isolation import die_with_parent
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.check import CHECKS, checked
from xmodbench.plugins.discovery import locate
from xmodbench.stages.wall.output import passing_on

LIMIT_S = 600.0
"""Seconds that one check may take."""


def validate(method: str, limit_s: float = LIMIT_S) -> Iterator[tuple[str, str | None]]:
    """Do all checks; yields what each requires and None, or what is wrong.

    Raises:
        UserError: there is no such method, or it cannot be imported in time.
    """
    locate(METHODS, method)
    done = 0
    while done < len(CHECKS):
        with _Process(method, done) as process:
            imported = process.answer(limit_s)
            if imported["failed"]:
                raise UserError(("its import " if imported["ended"] else "") + imported["failed"], f"method '{method}'")
            for check in CHECKS[done:]:
                answer = process.answer(limit_s)
                done += 1
                yield str(check.__doc__), answer["failed"]
                if answer["ended"]:
                    break


class _Process:
    """Checks of a method from the one of number `first` on; a context manager that leaves nothing running."""

    def __init__(self, method: str, first: int):
        self.reader, writer = os.pipe()
        # this package and not another one's, but never before the standard library
        path = f"import sys; sys.path.insert({'0' if IS_CHECKOUT else 'len(sys.path)'}, {str(REPOSITORY)!r})"
        code = f"{path}; from xmodbench.stages.validate import main; main({writer}, {method!r}, {first})"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[writer],
            start_new_session=True,  # so that what it starts can be ended with it
        )
        os.close(writer)
        assert self.process.stdout is not None
        self.output = passing_on(self.process.stdout, sys.stderr)
        self.text = b""

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.reader)
        self.output.join(timeout=5)

    def answer(self, limit_s: float) -> dict[str, Any]:
        """The next line: ``failed`` is None or what is wrong, ``ended`` whether no more will come."""
        while b"\n" not in self.text:
            if not select.select([self.reader], [], [], limit_s)[0]:
                return {"failed": f"did not end within {limit_s:g} s", "ended": True}
            came = os.read(self.reader, 2**16)
            if not came:
                return {"failed": self._death(), "ended": True}
            self.text += came
        line, _, self.text = self.text.partition(b"\n")
        try:
            return {"failed": json.loads(line)["failed"], "ended": False}
        except (ValueError, TypeError, KeyError):
            return {"failed": "wrote into a file that the harness had open", "ended": True}

    def _death(self) -> str:
        code = self.process.wait()
        if code >= 0:
            return f"ended its process by itself, with exit code {code}"
        likely = "; most likely for want of memory" if -code == signal.SIGKILL else ""
        return f"was killed ({signal.Signals(-code).name}){likely}"


def main(channel: int, method: str, first: int) -> None:
    """In the process: import the method, then do one check after the other."""
    die_with_parent()
    _die_first_of_memory()
    with open(channel, "w", encoding="utf-8") as lines:

        def say(problem: str | None) -> None:
            print(json.dumps({"failed": problem}), file=lines, flush=True)

        try:
            plugin = find(METHODS, method)
        except UserError as error:
            say(str(error))
            return
        say(None)
        for check in CHECKS[first:]:
            say(checked(check, plugin))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # what the method left running is not waited for


def _die_first_of_memory() -> None:
    """Where a method takes all memory it shall be told so, or end before anything else of this machine does."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_DATA, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard)
        )
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
