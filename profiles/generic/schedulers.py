"""What PBS, SGE and LSF say of a job that Snakemake submitted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

FOLDER = Path(".snakemake/generic")
LATENCY_S = float(os.environ.get("XMODBENCH_LATENCY_S", "60"))
"""How long a shared disk may take to show what a job that has left the queue wrote."""
UNKNOWN = re.compile(r"unknown job|has finished|do(es)? not exist|is not found", re.IGNORECASE)
QUESTIONS = {
    "pbs": (["qstat", "-f"], r"job_state = [FCX]\b"),
    "sge": (["qstat", "-j"], r"^error reason"),  # such a job would wait for ever
    "lsf": (["bjobs", "-noheader", "-o", "stat"], r"\b(DONE|EXIT)\b"),
}
"""How each is asked for a job, and what it answers of one that is over."""


def job_number(submitted: str) -> str:
    """The scheduler's number in what the submit command printed: ``123.host``, ``123``, or LSF's sentence."""
    found = re.search(r"<(\d+)>", submitted)
    return found[1] if found else submitted.strip()


def scheduler() -> str:
    """``lsf``, ``sge`` or ``pbs``, by what there is."""
    if shutil.which("bjobs"):
        return "lsf"
    return "sge" if "SGE_ROOT" in os.environ else "pbs"


def status(job: str) -> str:
    """``running``, ``success`` or ``failed``.

    A job that ran to its end has written its exit code. One that is in the queue no more and has written none was killed: by
    its limits of time and memory, by hand, or with its node. While the scheduler does not answer, it may still run.
    """
    code = exit_code(job)
    if code is None and not (left_queue(job) and gone_s(job) >= LATENCY_S):
        return "running"
    return "success" if code == "0" else "failed"


def exit_code(job: str) -> str | None:
    """What a job wrote at its end; None where it has written nothing."""
    try:
        return (FOLDER / f"{job}.exit").read_text().strip() or None
    except OSError:
        return None


def left_queue(job: str) -> bool:
    """Whether the scheduler says that the job is over, or that it does not know it."""
    command, over = QUESTIONS[scheduler()]
    asked = subprocess.run([*command, job], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    forgotten = asked.returncode != 0 and UNKNOWN.search(asked.stdout)
    return bool(forgotten or re.search(over, asked.stdout, re.MULTILINE))


def gone_s(job: str) -> float:
    """Seconds since the job was first seen to have left the queue."""
    seen = FOLDER / f"{job}.gone"
    try:
        return time.time() - seen.stat().st_mtime
    except OSError:
        FOLDER.mkdir(parents=True, exist_ok=True)
        seen.touch()
        return 0.0


def cancel(jobs: list[str]) -> int:
    """Remove jobs from the queue, running ones too; returns the command's exit code."""
    program = "bkill" if scheduler() == "lsf" else "qdel"
    return subprocess.run([program, *jobs], check=False).returncode
