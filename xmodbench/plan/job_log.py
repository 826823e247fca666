"""What a job's log tells of the job: who does it, that it is alive, how far it is, and how it ended.

Every job of the workflow has a log, which is declared and lies where its outputs lie: whoever wants to know needs no lock,
no Snakemake, and no process of the machine that the job runs on.
"""

from __future__ import annotations

import calendar
import os
import platform
import re
import stat
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xmodbench.errors import printable
from xmodbench.plan.lifeline import STARTED_BY, lives

BEAT_S = 10.0
"""Seconds between two signs of life: the log's time of change is renewed."""
SILENT_S = 120.0
"""Without one for so long, a job of another machine is taken for dead; shared disks show times late."""
HEAD, TAIL = 8 * 2**10, 16 * 2**10  # bytes that are read of a log, however long it is
ENDED = "ended well"
ERROR = "xmodbench: error: "
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_STARTED = re.compile(r"^\[\S+\] process (\d+) on (\S+) began at (\S+Z)$", re.MULTILINE)
_TIME_OF_DAY = re.compile(r"^\[\d\d:\d\d:\d\d\] ")
_STEP = re.compile(
    r"\[(?P<at>\d\d:\d\d:\d\d)\] (?P<what>.*): +(?P<percent>\d+)%.*?"
    r" (?P<done>[\d.]+\w?)/(?P<total>[\d.]+\w?) \[[\d:]+<(?P<left>[\d:?]+)"
)


# -- written by the job -------------------------------------------------------------------------------------------------
def begin_log() -> bool:
    """Say at the top of a job's log who does it, and give signs of life from now on; whether this is such a job.

    Jobs that Snakemake started have a log, as standard error. Of several processes that train together only the main one
    speaks.
    """
    try:
        logged = stat.S_ISREG(os.fstat(2).st_mode)
    except OSError:
        return False
    if not (logged and os.environ.get(STARTED_BY) and os.environ.get("RANK", "0") == "0"):
        return False
    _write(f"process {os.getpid()} on {platform.node()} began at {time.strftime(_TIME, time.gmtime())}")
    threading.Thread(target=_beat, daemon=True).start()
    return True


def end_log() -> None:
    """Say at the end of a job's log that the job ended well, which one that was killed cannot."""
    _write(ENDED)


def _write(text: str) -> None:
    with suppress(OSError):  # a full disk: the job itself will say so
        os.write(2, f"[{time.strftime('%H:%M:%S')}] {printable(text)}\n".encode())


def _beat() -> None:
    while True:
        time.sleep(BEAT_S)
        with suppress(OSError):
            os.utime(2)


# -- read by others -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Step:
    """How far a job is.

    Attributes:
        what: is done, such as ``train``.
        done, total: as the log writes them, ``340`` of ``1000`` or ``4.0M`` of ``8.1G``; percent: their ratio, 0 to 100.
        left_s: seconds until this is done, None where nobody knows yet. Another step may follow.
    """

    what: str
    done: str
    total: str
    percent: int
    left_s: float | None

    def __str__(self) -> str:
        left = "" if self.left_s is None or self.percent == 100 else f", {clock(self.left_s)} left"
        return f"{self.what} {self.done}/{self.total} ({self.percent} %){left}"


@dataclass(frozen=True)
class JobLog:
    """What a log tells.

    Attributes:
        alive: whether the job runs: on this machine its process is looked for, on another its signs of life count.
        ended: whether it said that it ended well.
        last: its last line, the one with the error where there is one; empty where it has said nothing.
        pid, host: of the process, where it said so; since: when it began, seconds since 1970.
        changed: when it gave the last sign of life, seconds since 1970.
    """

    alive: bool
    ended: bool
    last: str
    step: Step | None
    changed: float
    pid: int | None = None
    host: str | None = None
    since: float | None = None

    @property
    def progress(self) -> str:
        """How far the job is, in words: its step with the time left, else what it said last."""
        return str(self.step) if self.step else _TIME_OF_DAY.sub("", self.last) or "starting"


def read_log(path: Path, now: float | None = None) -> JobLog | None:
    """What the log at `path` tells; None where there is none. ``now``: seconds since 1970, the present if left out."""
    now = time.time() if now is None else now
    try:
        with open(path, "rb") as handle:
            status = os.fstat(handle.fileno())
            head = handle.read(HEAD).decode("utf-8", "replace")
            handle.seek(max(0, status.st_size - TAIL))
            tail = handle.read().decode("utf-8", "replace")
    except OSError:
        return None
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    found = _STARTED.search(head)
    if _STARTED.match(last):  # nothing else so far
        last = ""
    ended = last.endswith(f"] {ENDED}")
    pid, host, since = (int(found[1]), printable(found[2]), _moment(found[3])) if found else (None, None, None)
    alive = pid is not None and not ended and _is_alive(path, pid, str(host), now - status.st_mtime)
    said = next((line for line in reversed(lines) if line.startswith(ERROR)), last)
    return JobLog(alive, ended, printable(said), _last_step(lines, now), status.st_mtime, pid, host, since)


def log_text(path: Path, most: int = 100) -> str:
    """What a job said: the last lines of its log, without those about progress, in letters that a terminal does not obey."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - 4 * TAIL))
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    kept = [line for line in lines if line.strip() and not (_STEP.search(line) or _STARTED.match(line))]
    left_out = [f"[{len(kept) - most} lines before these]"] if len(kept) > most else []
    return "\n".join([*left_out, *(printable(line.expandtabs(4)) for line in kept[-most:])])


def _is_alive(path: Path, pid: int, host: str, silent_s: float) -> bool:
    if host != printable(platform.node()):
        return silent_s < SILENT_S
    if not lives(pid):
        return False
    try:  # another process may have got the number since
        return os.path.samefile(f"/proc/{pid}/fd/2", path)
    except OSError:  # another user's, or a system without /proc
        return silent_s < SILENT_S


def _last_step(lines: list[str], now: float) -> Step | None:
    found = next((match for line in reversed(lines) if (match := _STEP.search(line))), None)
    if found is None:
        return None
    left = _seconds(found["left"])
    if left is not None:
        left = max(0.0, left - _age(found["at"], now))
    return Step(printable(found["what"]), found["done"], found["total"], int(found["percent"]), left)


def _moment(text: str) -> float | None:
    """Seconds since 1970 of a time as `begin_log` writes it."""
    with suppress(ValueError):
        return float(calendar.timegm(time.strptime(text, _TIME)))
    return None


def _seconds(clock: str) -> float | None:
    """``1:02:03`` in seconds; None for ``?``."""
    if "?" in clock:
        return None
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part or 0)
    return float(seconds)


def _age(at: str, now: float) -> float:
    """Seconds since a line was written, from its time of day; 0 where that cannot be, as with clocks that differ."""
    here = time.localtime(now)
    hours, minutes, seconds = map(int, at.split(":"))
    age = (here.tm_hour - hours) * 3600 + (here.tm_min - minutes) * 60 + here.tm_sec - seconds
    age %= 24 * 3600
    return float(age) if age < 600 else 0.0


# -- names --------------------------------------------------------------------------------------------------------------
_ORDER = ("method", "training", "pretraining", "dataset", "archive", "model")


def job_name(rule: str, wildcards: Mapping[str, str]) -> str:
    """A job as people call it: ``translate cut sim_ixi pd-to-t1``; the words are those of its log's name."""
    words = [rule.removesuffix("_part").replace("_", "-"), *(wildcards[key] for key in _ORDER if key in wildcards)]
    if "source" in wildcards:
        words.append(f"{wildcards['source']}-to-{wildcards['target']}")
    if "part" in wildcards:
        words.append(f"{wildcards['part']}-of-{wildcards['parts']}")
    return " ".join(words)


def clock(seconds: float) -> str:
    """``0:07``, ``12:05`` or ``3:02:01``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
