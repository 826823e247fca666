"""How far a run is, from its files alone: records, failures and logs. Takes no lock, and asks no Snakemake."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from xmodbench.errors import UserError, amount, plain
from xmodbench.files import read_json
from xmodbench.plan.job_list import Job, JobList
from xmodbench.plan.job_log import ERROR, JobLog, Step, clock, read_log
from xmodbench.plan.plan import Plan

State = Literal["done", "running", "failed", "killed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "failed", "killed", "waiting")


@dataclass(frozen=True)
class JobStatus:
    """A job as it stands.

    Attributes:
        said: how far a job that runs is, why one failed, or the last that one said which was killed; else empty.
        step: that a job is at which runs, None where it does not say.
        for_s: how long a job that runs has taken so far, seconds.
        where: ``process 12 on node3`` of a job that runs, or that was killed.
    """

    job: Job
    state: State
    said: str = ""
    step: Step | None = None
    for_s: float | None = None
    where: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "job": self.job.name,
            "rule": self.job.rule,
            "state": self.state,
            "step": self.step and asdict(self.step),
            "for_s": self.for_s,
            "where": self.where or None,
            "said": self.said or None,
            "log": str(self.job.log),
        }


def status(plan: Plan, now: float | None = None) -> list[JobStatus]:
    """All jobs of a run, those before others first; ``now``: seconds since 1970, the present if left out."""
    now, jobs = time.time() if now is None else now, JobList(plan)
    return [_status(job, job.record in jobs.waited_for, now) for job in jobs.jobs.values()]


def _status(job: Job, waited_for: bool, now: float) -> JobStatus:
    """Where a job stands: what runs now comes before what an earlier attempt left."""
    log = read_log(job.log, now)
    if log is not None and log.alive:
        seconds = None if log.since is None else max(0.0, round(now - log.since, 1))
        return JobStatus(job, "running", log.progress, log.step, seconds, _where(log))
    if job.done or not waited_for:
        # made good, or deleted since on the way to results that are there
        return JobStatus(job, "waiting" if waited_for else "done")
    error = _error(job.failure) if job.failure is not None else None
    if error is not None:
        return JobStatus(job, "failed", error)
    if log is None or log.ended:
        return JobStatus(job, "waiting")
    if log.last.startswith(ERROR):
        return JobStatus(job, "failed", log.last)
    if log.pid is None:  # it had not begun to say anything, or is the log of an older version
        return JobStatus(job, "failed" if log.last else "waiting", log.last)
    return JobStatus(job, "killed", log.last, None, None, _where(log))


def _where(log: JobLog) -> str:
    return f"process {log.pid} on {log.host}"


def _error(path: Path) -> str | None:
    """What a failure says; None where there is none."""
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except UserError as error:
        return str(error)
    return plain(str(found.get("error", "failed") if isinstance(found, dict) else "failed"))


def told(plan: Plan, found: list[JobStatus], runner: str | None) -> str:
    """The whole for people: a line for each job that runs, failed or was killed, and how many there are of the others.

    Args:
        runner: who works in this folder (`xmodbench.plan.snakemake.runner`), None where nobody does.
    """
    counts = Counter(one.state for one in found)
    numbers = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    lines = [
        f"{plan.config.run}: {amount(len(found), 'job')}: {numbers}",
        f"  {runner or 'no Snakemake works in this folder'}",
    ]
    for state in ("running", "failed", "killed"):
        own = [one for one in found if one.state == state]
        if own:
            lines += ["", f"{state}:", *(line for one in own for line in _lines(one))]
    waiting = Counter(one.job.rule for one in found if one.state == "waiting")
    if waiting:
        lines += ["", "waiting: " + ", ".join(f"{count} {rule}" for rule, count in waiting.items())]
    if counts["done"] == len(found):
        lines += ["", f"report: {plan.results / 'report.html'}"]
    return "\n".join(lines)


def _lines(one: JobStatus) -> list[str]:
    if one.state == "running":
        since = "" if one.for_s is None else f"; {clock(one.for_s)} so far"
        return [f"  {one.job.name}: {one.said}{since}"]
    said = one.said.removeprefix(ERROR)
    if one.state == "killed":
        said = f"{one.where} is gone" + (f"; it last said: {said}" if said else "")
    return [f"  {one.job.name}: {said}", f"    {one.job.log}"]
