"""The process that a method's code runs in, seen from outside: what it is let to read, and what is asked of it.

A job of ``xmodbench train`` or ``translate`` stays on this side. It copies the arrays the method may see into a private
folder, starts a process with no arguments, a clean environment and that folder as its working directory, and has it put
itself behind a wall (`xmodbench.isolation`) before the method is imported. What the method answered is checked and
recorded out here, where its code cannot reach.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from xmodbench import isolation
from xmodbench.devices import job_environment, promised
from xmodbench.directions import modalities_of
from xmodbench.files import sha256_file
from xmodbench.isolation import Wall
from xmodbench.plugins.discovery import Location
from xmodbench.plugins.shape import Shape
from xmodbench.stages.wall.elsewhere import elsewhere_of
from xmodbench.stages.wall.may_read import Grant
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.staging import beside, stacks, write_channels
from xmodbench.stages.wall.walled import Limits, Start, WalledProcess, new_python
from xmodbench.store import SliceStore

NONE = "none"
"""What the record says of a job that the kernel could not wall in."""
CONTROL = "exempt: a control is handed the test targets"
"""What it says of a control, which works behind the same wall but sees what its name says."""


TASKS = "xmodbench.stages.wall.tasks:MethodTasks"
"""What serves the requests, in the process."""


class PluginProcess(WalledProcess):
    """A method's process, from its start to its end; a context manager that leaves nothing running.

    Args:
        job, verb, read, write, truth, lender, model: what is to be run, and what it is let into: see `Grant`.
        available: slices of the source, of which a few-shot method says how many it wants.
        compiled: caches that the method's compilers filled beforehand (`xmodbench.stages.wall.compiled`).
        held, tasks, start, limits, log: see `WalledProcess`.
        at_home: run it in this project's environment, though it has one of its own.

    Attributes:
        out: folder that the method's images are written into; like `write` it can hold no symbolic link, which would lead
            whoever reads them astray.

    Raises:
        UserError: a granted folder holds the data, or the method breaks the contract.
    """

    described: Described

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
        tasks: str = TASKS,
        start: Start = new_python,
        limits: Limits | None = None,
        log: IO[bytes] | None = None,
        at_home: bool = False,
    ):
        where = f"method '{job.name}', {verb}"
        super().__init__(where, tasks, held=held, start=start, limits=limits, log=log)
        self.job, self.verb, self.available, self.compiled = job, verb, available, compiled
        self.grant = Grant(job, verb, read, write, truth, lender, model)
        self.own = None if at_home else elsewhere_of(self.grant.locations, job.progress)
        if self.own is not None:
            self.start = self.own.start

    @property
    def cache(self) -> Path:
        """Folder of the process's caches."""
        return self.scratch / "cache"

    @property
    def isolation(self) -> str:
        """What held the method to its arrays, for the record; `NONE` where nothing did."""
        version = isolation.landlock_version()
        return NONE if not version or self.grant.open_to_data else f"landlock {version}"

    def _variables(self) -> dict[str, str]:
        found = super()._variables()
        return found if self.own is None else self.own.variables(found, self.place)

    @property
    def place(self) -> Path:
        """Folder of what a process in another environment finds of this one."""
        return self.private / "path"

    def _furnish(self, work: Path) -> None:
        if self.own is not None:
            self.code = self.own.furnish(self.place)
        if self.compiled is not None:
            shutil.copytree(self.compiled, self.cache, dirs_exist_ok=True)
        for given, path in self.grant.files.items():  # relative paths in the settings go on meaning the same file
            if not Path(given).is_absolute() and ".." not in Path(given).parts:
                (work / given).parent.mkdir(parents=True, exist_ok=True)
                (work / given).symlink_to(path)

    def _wall(self) -> Wall | None:
        several = int(os.environ.get("WORLD_SIZE", 1)) > 1
        code = None if self.own is None else tuple(map(str, self.code))
        return None if self.isolation == NONE else self.grant.wall(self.data, self.out, self.scratch, several, code)

    def _request(self) -> dict[str, Any]:
        return {
            # an installed plugin is not installed there: it is found by its folder
            "locations": [[loc.id, str(loc.folder), None if self.own else loc.entry] for loc in self.grant.locations],
            "name": self.job.name,
            "verb": self.verb,
            "settings": self.job.settings,
            "available": self.available,
            "quiet": self.job.progress.quiet,
            "elsewhere": self.own and self.own.request(self.place),
        }

    def _begun(self, answer: dict[str, Any]) -> None:
        try:
            self.described = Described(**answer | {"shape": Shape(**answer["shape"])})
        except (TypeError, KeyError):
            raise self._nonsense() from None

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
            promised=promised(job.gpus),
            threads=job.threads,
            environment=job_environment("cpu" if plain else job.device, job.threads, job.progress),
        )
        return self._answer()

    def stage(self, store: SliceStore, source: str, rows: Sequence[int] | None = None, neighbours: int = 0) -> str:
        """Copy slices of a modality, or of several (``t1+t2``), to where the method may read them; returns the file.

        A copy, not a link: the file behind a link would tell where the other modality lies.

        Args:
            rows: of the slices, all of them if left out.
            neighbours: slices on each side that come along, whether `rows` names them or not.
        """
        names, path = modalities_of(source), self.data / f"{source}.npy"
        arrays = [store.array(name) for name in names]  # shapes and types are checked
        if len(names) == 1 and not neighbours and rows is None:
            shutil.copyfile(store.directory / path.name, path)
            return str(path)
        if len(names) == 1 and not neighbours:
            np.save(path, arrays[0][list(rows or ())], allow_pickle=False)
        else:
            table = beside(stacks(store), neighbours) if neighbours else np.arange(len(store.ids))[:, None]
            write_channels(path, arrays, table if rows is None else table[list(rows)])
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
        found.update(self.own.environment.facts() if self.own else {})
        if self.grant.files:
            found["files_sha256"] = {given: sha256_file(path) for given, path in self.grant.files.items()}
        if "gpu_memory_mb" in done:
            found["gpu_memory_mb"] = done["gpu_memory_mb"]
        return found


def add_facts(record: dict[str, Any], facts: dict[str, Any]) -> None:
    """Add what a method wants in its job's record, which cannot say otherwise what the harness says there."""
    for name, value in facts.items():
        record.setdefault(name, value)
