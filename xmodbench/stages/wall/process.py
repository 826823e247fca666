"""The process that a method's code runs in, seen from outside: what it is let to read, and what is asked of it.

A job of ``xmodbench train`` or ``translate`` stays on this side. It copies the arrays the method may see into a private
folder, starts a process with no arguments, a clean environment and that folder as its working directory, and has it put
itself behind a wall (`xmodbench.isolation`) before the method is imported. What the method answered is checked and
recorded out here, where its code cannot reach.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

from xmodbench import isolation
from xmodbench.devices import job_environment
from xmodbench.errors import UserError
from xmodbench.files import sha256_file
from xmodbench.plugins.discovery import Location
from xmodbench.stages.wall.may_read import Grant
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.output import descriptor, passing_on
from xmodbench.stages.wall.system import environment
from xmodbench.store import SliceStore

NONE = "none"
"""What the record says of a job that the kernel could not wall in."""
CONTROL = "exempt: a control is handed the test targets"
"""What it says of a control, which works behind the same wall but sees what its name says."""


class PluginProcess:
    """A method's process, from its start to its end; a context manager that leaves nothing running.

    Args:
        job, verb, read, write, truth, lender, model: what is to be run, and what it is let into: see `Grant`.
        available: slices of the source, of which a few-shot method says how many it wants.
        compiled: caches that the method's compilers filled beforehand (`xmodbench.stages.wall.compiled`).
        held: descriptors of files that the process is to keep open (`xmodbench.stages.state_folder`).

    Attributes:
        out: folder that the method's images are written into; like `write` it can hold no symbolic link, which would lead
            whoever reads them astray.

    Raises:
        UserError: a granted folder holds the data, or the method breaks the contract.
    """

    def __init__(
        self,
        job: MethodJob,
        verb: str,
        *,
        read: tuple[Path, ...] = (),
        write: tuple[Path, ...] = (),
        truth: Path | None = None,
        lender: Location | None = None,
        model: Path | None = None,
        available: int | None = None,
        compiled: Path | None = None,
        held: tuple[int, ...] = (),
    ):
        self.job, self.verb, self.available, self.compiled, self.held = job, verb, available, compiled, held
        self.grant = Grant(job, verb, read, write, truth, lender, model)
        self.output: Thread | None = None
        self._stack = ExitStack()

    def __enter__(self) -> PluginProcess:
        self.private = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="xmodbench-job-")))
        self.data, self.out, self.scratch = (self.private / name for name in ("data", "out", "scratch"))
        for folder in (self.data, self.out, self.scratch):
            folder.mkdir()
        try:
            self._start()
            self.described = self._description()
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self._end(kill=kind is not None)

    @property
    def cache(self) -> Path:
        """Folder of the process's caches."""
        return self.scratch / "cache"

    @property
    def isolation(self) -> str:
        """What held the method to its arrays, for the record; `NONE` where nothing did."""
        version = isolation.landlock_version()
        return NONE if not version or self.grant.open_to_data else f"landlock {version}"

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        work = self.scratch / "work"
        work.mkdir()
        variables = environment(self.scratch)
        if self.compiled is not None:
            shutil.copytree(self.compiled, self.cache, dirs_exist_ok=True)
        for given, path in self.grant.files.items():  # relative paths in the settings go on meaning the same file
            if not Path(given).is_absolute() and ".." not in Path(given).parts:
                (work / given).parent.mkdir(parents=True, exist_ok=True)
                (work / given).symlink_to(path)
        code = f"from xmodbench.stages.wall.worker import main; main({theirs.fileno()})"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                # a terminal keeps nothing, and its bars need one
                stdout=descriptor(sys.stderr) if sys.stderr.isatty() else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), *self.held],
                start_new_session=True,  # so that what it starts can be ended with it
            )
        if self.process.stdout is not None:
            self.output = passing_on(self.process.stdout, sys.stderr)
        with ours:
            self.channel = self._stack.enter_context(ours.makefile("rw", encoding="utf-8"))
        self._stack.enter_context(passing_on_termination(self.process))
        several = int(os.environ.get("WORLD_SIZE", 1)) > 1
        wall = self.grant.wall(self.data, self.out, self.scratch, several)
        self._ask(
            wall=asdict(wall) if self.isolation != NONE else None,
            locations=[[loc.id, str(loc.folder), loc.entry] for loc in self.grant.locations],
            name=self.job.name,
            verb=self.verb,
            settings=self.job.settings,
            available=self.available,
            quiet=self.job.progress.quiet,
        )

    def perform(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Have a task done on the job's device (`xmodbench.stages.wall.tasks`); returns its facts.

        Raises:
            UserError: the method failed, was refused something, or was killed.
            SystemExit: it ended itself after SIGTERM, its state saved.
        """
        plain, job = self.described.plain, self.job
        self._ask(
            task=task,
            arguments=arguments,
            seed=job.seed,
            device="cpu" if plain else job.device,
            tf32=job.tf32,
            threads=job.threads,
            environment=job_environment("cpu" if plain else job.device, job.threads, job.progress),
        )
        return self._answer()

    def stage(self, store: SliceStore, modality: str, rows: Sequence[int] | None = None) -> str:
        """Copy slices of a modality (all of them, or `rows`) to where the method may read them; returns the file.

        A copy, not a link: the file behind a link would tell where the other modality lies.
        """
        array, path = store.array(modality), self.data / f"{modality}.npy"  # its shape and type are checked
        if rows is None:
            shutil.copyfile(store.directory / path.name, path)
        else:
            import numpy as np

            np.save(path, array[list(rows)], allow_pickle=False)
        return str(path)

    def trace(self, done: dict[str, Any]) -> dict[str, Any]:
        """What a record says of how the method was held: the wall, what it looked for beyond, its files and GPU memory."""
        found: dict[str, Any] = {"isolation": CONTROL if self.described.control else self.isolation}
        found["supervision"] = self.described.supervision
        found.update(seed=self.job.seed, device=done["device"])
        if done["device"] != "cpu":
            found["tf32"] = self.job.tf32
        if done["looked_for"]:
            found["looked_for"] = done["looked_for"]
            self.job.progress.say(f"looked for what is not there for it: {', '.join(done['looked_for'])}")
        if self.grant.files:
            found["files_sha256"] = {given: sha256_file(path) for given, path in self.grant.files.items()}
        if "gpu_memory_mb" in done:
            found["gpu_memory_mb"] = done["gpu_memory_mb"]
        return found

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
        if not line:
            raise self._gone()
        try:
            answer = json.loads(line)
            if "failed" in answer:
                raise UserError(**answer["failed"])
            return dict(answer["done"])
        except (ValueError, TypeError, KeyError):
            raise self._nonsense() from None

    def _description(self) -> Described:
        try:
            return Described(**self._answer())
        except TypeError:
            raise self._nonsense() from None

    def _nonsense(self) -> UserError:
        """The channel is the harness's own, but the method's code could write into it as well."""
        where = f"method '{self.job.name}', {self.verb}"
        return UserError("its process answered nonsense", where, "a method must leave the process's open files alone")

    def _gone(self) -> BaseException:
        """Why the process ended without an answer."""
        code, where = self.process.wait(), f"method '{self.job.name}', {self.verb}"
        if code in (128 + signal.SIGTERM, -signal.SIGTERM):
            return SystemExit(128 + signal.SIGTERM)
        if code in (128 + signal.SIGINT, -signal.SIGINT):
            return KeyboardInterrupt()
        if code >= 0:
            return UserError(f"its process ended by itself with exit code {code}", where, "its output stands above")
        name = signal.Signals(-code).name
        likely = "most likely for want of memory" if -code == signal.SIGKILL else "see its output above"
        return UserError(f"its process was killed ({name})", where, likely)

    def _end(self, kill: bool) -> None:
        process = getattr(self, "process", None)
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


def add_facts(record: dict[str, Any], facts: dict[str, Any]) -> None:
    """Add what a method wants in its job's record, which cannot say otherwise what the harness says there."""
    for name, value in facts.items():
        record.setdefault(name, value)


@contextmanager
def passing_on_termination(process: subprocess.Popen) -> Iterator[None]:
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
