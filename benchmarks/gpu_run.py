"""Parts of a measurement, one process after the other, each with a time limit of its own; the standard library alone.

Whatever happens in a part costs no more than that part: its process and all that it started are ended at its limit, and what
it had printed and measured is kept.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADOPT = 36  # prctl's PR_SET_CHILD_SUBREAPER
GRACE_S = 5.0  # between asking a process to end and ending it
LEAST_S = 10.0  # with less time left a part is not begun


@dataclass(frozen=True)
class Part:
    """One process of a measurement.

    Attributes:
        name, title: for the results.
        command: words of its command line. ``{json}`` becomes the file that it may write ``{heading, tables}`` into,
            ``{limit}`` its limit in seconds.
        limit: seconds at most.
        reserve: seconds that the parts before it leave for it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    limit: float
    reserve: float = 0.0


@dataclass
class Outcome:
    """What came of a part; `status` is ``ok``, ``failed``, ``timed out`` or ``no time left``."""

    name: str
    title: str
    status: str
    seconds: float = 0.0
    limit: float = 0.0
    last_line: str = ""
    heading: str = ""
    tables: list[dict[str, Any]] = field(default_factory=list)


def run_part(part: Part, limit: float, folder: Path, log: Path) -> Outcome:
    """Run a part for `limit` seconds at most; its output is added to `log`, its tables are read from a file in `folder`."""
    adopt_orphans()
    tables = folder / f"{part.name}.json"
    words = [word.replace("{json}", str(tables)).replace("{limit}", f"{limit:.0f}") for word in part.command]
    before, began = descendants(os.getpid()), time.monotonic()
    with log.open("ab") as output:
        output.write(f"\n== {part.name}: {' '.join(words)}\n".encode())
        output.flush()
        start = output.tell()
        try:
            status = _waited(words, limit, output)
        except OSError as error:
            status = "failed"
            output.write(f"cannot be started: {error}\n".encode())
        finally:  # also where this process itself is told to end
            end(descendants(os.getpid()) - before)
    with log.open("rb") as written:
        written.seek(start)
        printed = written.read().decode(errors="replace").replace("\r", "\n")
    found = Outcome(part.name, part.title, status, round(time.monotonic() - began, 1), round(limit, 1))
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    found.last_line = "" if status == "ok" or not lines else lines[-1][:300]
    with suppress(OSError, ValueError):
        kept = json.loads(tables.read_text(encoding="utf-8"))
        found.heading, found.tables = kept["heading"], kept["tables"]
    return found


def _waited(words: list[str], limit: float, output) -> str:
    """Run a command; ``ok``, ``failed`` or ``timed out``."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        for number, wait in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=wait)
                break
        return "timed out"
    if code < 0:
        output.write(f"killed ({signal.Signals(-code).name})\n".encode())
    return "ok" if code == 0 else "failed"


def run_all(parts: list[Part], budget: float, folder: Path, log: Path, done) -> list[Outcome]:
    """Run parts in order within `budget` seconds; `done` is given the outcomes so far after each."""
    outcomes: list[Outcome] = []
    began = time.monotonic()
    for place, part in enumerate(parts):
        left = budget - (time.monotonic() - began) - sum(later.reserve for later in parts[place + 1 :])
        if min(left, part.limit) < min(LEAST_S, part.limit):
            outcomes.append(Outcome(part.name, part.title, "no time left"))
        else:
            outcomes.append(run_part(part, min(part.limit, left), folder, log))
        done(outcomes)
    return outcomes


def adopt_orphans() -> None:
    """Make processes whose parent ends children of this one, so that they can be found; Linux alone can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)


def descendants(ancestor: int) -> set[int]:
    """Ids of the processes that a process started, and that these started, as far as ``/proc`` tells."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found: set[int] = set()
    waiting = [ancestor]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def end(processes: set[int]) -> None:
    """End processes that a part left behind, without waiting long for one that a driver holds."""
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    patience = time.monotonic() + GRACE_S
    while processes and time.monotonic() < patience:
        for process in set(processes):
            with suppress(ChildProcessError):
                if os.waitpid(process, os.WNOHANG)[0] == 0:
                    continue
            processes.discard(process)
        time.sleep(0.02 if processes else 0)
