"""A process behind a wall and the conversation with it, whatever kind of plugin its code belongs to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any, Protocol

from xmodbench.errors import UserError
from xmodbench.isolation import Wall
from xmodbench.stages.wall.output import descriptor, passing_on
from xmodbench.stages.wall.system import environment


@dataclass(frozen=True)
class Limits:
    """What a process may take: seconds until each of its answers, MiB of memory, and MiB of a file that it writes."""

    seconds: float = 60.0
    memory_mb: int = 8192
    file_mb: int = 512


class Started(Protocol):
    """A process that was started: of `subprocess.Popen` what is used here."""

    pid: int
    stdout: IO[bytes] | None

    def wait(self) -> int:
        """Wait for its end; its exit code, or minus the signal that ended it."""

    def kill(self) -> None:
        """End it."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""


Start = Callable[[int, Path, dict[str, str], int, tuple[int, ...]], Started]
"""Starts a process that serves a socket: its descriptor, working folder, variables, output, descriptors to keep open."""


def new_python(
    channel: int,
    work: Path,
    variables: dict[str, str],
    output: int,
    held: tuple[int, ...],
    command: list[str] | None = None,
) -> Started:
    """A new Python that knows nothing of this one; `command` starts that of another environment with code to run."""
    code = f"from xmodbench.stages.wall.worker import main; main({channel})"
    return subprocess.Popen(
        [*(command or [sys.executable, "-P", "-c"]), code],
        cwd=work,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=[channel, *held],
        start_new_session=True,  # so that what it starts can be ended with it
    )


class WalledProcess(ABC):
    """A process from its start to its end; a context manager that leaves nothing running.

    Args:
        where: who and what it is, for messages.
        tasks: ``module:Class`` of what serves the requests (`xmodbench.stages.wall.worker`).
        held: descriptors of files that the process is to keep open (`xmodbench.stages.state_folder`).
        start: starts it.
        limits: what it may take; None for a job, which the workflow limits.
        log: what its output goes into; None: into standard error.

    Attributes:
        data, out, scratch: folders that lie in `private`: what it is handed, what it is to write (no links can be made
            there), what it may do with as it likes.
    """

    def __init__(
        self,
        where: str,
        tasks: str,
        *,
        held: tuple[int, ...] = (),
        start: Start = new_python,
        limits: Limits | None = None,
        log: IO[bytes] | None = None,
    ):
        self.where, self.tasks, self.held, self.start, self.limits, self.log = where, tasks, held, start, limits, log
        self.output: Thread | None = None
        self.process: Started | None = None
        self._stack = ExitStack()

    def __enter__(self):
        self.private = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="xmodbench-job-")))
        self.data, self.out, self.scratch = (self.private / name for name in ("data", "out", "scratch"))
        for folder in (self.data, self.out, self.scratch):
            folder.mkdir()
        try:
            self._start()
            self._begun(self._answer())
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self._end(kill=kind is not None)

    @abstractmethod
    def _wall(self) -> Wall | None:
        """What it may read and write; None where the kernel has no wall for it."""

    @abstractmethod
    def _request(self) -> dict[str, Any]:
        """What it is told first, beside its wall and limits."""

    def _begun(self, answer: dict[str, Any]) -> None:
        """Take what it says first of all."""
        self.described: Any = answer

    def _variables(self) -> dict[str, str]:
        """Its environment variables."""
        return environment(self.scratch)

    def _furnish(self, work: Path) -> None:
        """Put into the working folder what has to be there: for most, nothing."""
        return None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        work = self.scratch / "work"
        work.mkdir()
        variables = self._variables()
        self._furnish(work)
        with theirs:
            self.process = self.start(theirs.fileno(), work, variables, self._output(), self.held)
        if self.process.stdout is not None:
            self.output = passing_on(self.process.stdout, sys.stderr)
        if self.limits is not None:
            ours.settimeout(self.limits.seconds)
        with ours:
            self.channel = self._stack.enter_context(ours.makefile("rw", encoding="utf-8"))
        self._stack.enter_context(passing_on_termination(self.process))
        wall = self._wall()
        limits = self.limits and asdict(self.limits)
        self._ask(tasks=self.tasks, wall=wall and asdict(wall), limits=limits, **self._request())

    def _output(self) -> int:
        if self.log is not None:
            return self.log.fileno()
        # a terminal keeps nothing, and its bars need one
        return descriptor(sys.stderr) if sys.stderr.isatty() else subprocess.PIPE

    def _ask(self, **request: Any) -> None:
        try:
            self.channel.write(json.dumps(request) + "\n")
            self.channel.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _answer(self) -> dict[str, Any]:
        try:
            line = self.channel.readline()
        except ConnectionResetError:
            line = ""
        except TimeoutError:
            assert self.limits is not None  # or there would be none
            problem = f"did not end within {self.limits.seconds:g} s"
            raise UserError(problem, self.where, "end its loops, or give it smaller `smoke` settings") from None
        if not line:
            raise self._gone()
        try:
            answer = json.loads(line)
            if "failed" in answer:
                raise UserError(**answer["failed"])
            return dict(answer["done"])
        except (ValueError, TypeError, KeyError):
            raise self._nonsense() from None

    def _nonsense(self) -> UserError:
        """The channel is the harness's own, but the plugin's code could write into it as well."""
        return UserError(
            "its process answered nonsense", self.where, "a plugin must leave the process's open files alone"
        )

    def _gone(self) -> BaseException:
        """Why the process ended without an answer."""
        assert self.process is not None
        code = self.process.wait()
        if self.limits is None:  # a scheduler may send its signal to all processes of a job
            if code in (128 + signal.SIGTERM, -signal.SIGTERM):
                return SystemExit(128 + signal.SIGTERM)
            if code in (128 + signal.SIGINT, -signal.SIGINT):
                return KeyboardInterrupt()
        if code >= 0:
            fix = "its output stands above; return when it is done, raise an exception when it fails"
            return UserError(f"its process ended by itself with exit code {code}", self.where, fix)
        name = signal.Signals(-code).name
        likely = {
            signal.SIGKILL: "most likely for want of memory",
            signal.SIGSEGV: "compiled code went wrong; if it writes into an array that it was handed (torch.from_numpy), "
            "let it copy that first",
        }
        return UserError(
            f"its process was killed ({name})", self.where, likely.get(signal.Signals(-code), "see its output above")
        )

    def _end(self, kill: bool) -> None:
        process = self.process
        if process is not None:
            if kill:
                process.kill()
            else:
                self.channel.close()  # no more requests: the process ends
            process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left running
            if self.output is not None:
                self.output.join(timeout=5)  # for ever, where something got away and still holds it open
        self._stack.close()


@contextmanager
def passing_on_termination(process: Started) -> Iterator[None]:
    """While the block runs, SIGTERM goes to `process`, which saves its state and ends."""
    try:
        previous = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
