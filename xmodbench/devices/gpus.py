"""The GPUs of a job: those it may see, those a scheduler gave it, and one job per GPU among those that no scheduler parts.

Snakemake counts GPUs but hands out no device ids, and any ``--resources`` on its command line drops the default profile's
count; so the jobs of one machine agree among themselves through file locks. A GPU is known by its UUID there: two jobs may
both call different devices 0, as under a scheduler that shows each job its own alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from xmodbench.errors import UserError
from xmodbench.progress import Progress

VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULERS = (
    *(("SLURM_JOB_ID",), ("PBS_JOBID",), ("LSB_JOBID", "LSB_JOBINDEX"), ("JOB_ID", "SGE_TASK_ID")),
    *(("OAR_JOB_ID",), ("FLUX_JOB_ID",), ("KUBERNETES_SERVICE_HOST", "HOSTNAME")),
)
"""Variables that together number a scheduler's job: Slurm, PBS, LSF, SGE, OAR, Flux, and a pod of Kubernetes."""

_held: list[IO] = []  # a lock lives as long as its job's process


def visible_gpus() -> list[str]:
    """Ids of the GPUs this job may use, without initialising CUDA (which would fix the choice)."""
    listed = os.environ.get(VISIBLE)
    if listed is not None:
        return [item for item in listed.split(",") if item not in ("", "-1", "NoDevFiles")]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def scheduler_job() -> str | None:
    """The number of the scheduler's job that this process belongs to; None where it belongs to none."""
    for names in SCHEDULERS:
        values = [os.environ.get(name) for name in names]
        if all(value is not None for value in values):
            return "-".join([names[0].lower(), *map(str, values)])
    return None


def promised(asked: int = 0) -> int:
    """How many GPUs a job has to find, so that one it was given and cannot use is not missed in silence.

    Args:
        asked: GPUs that the workflow asked for, which outside of a scheduler's job are those of this machine.
    """
    if scheduler_job() is None:
        return 0 if visible_gpus() else asked
    slurms = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return max(asked, int(slurms) if slurms.isdigit() else 0)


def job_gpus(count: int, progress: Progress) -> list[str]:
    """Ids for ``CUDA_VISIBLE_DEVICES`` of `count` GPUs that this process has to itself for its life.

    As many as a scheduler gave are taken without a lock: it has parted them. Of more than are needed (a whole run within one
    of its jobs) the jobs within take turns.

    Raises:
        UserError: there are fewer.
    """
    job, ids = scheduler_job(), visible_gpus()
    if job is not None and VISIBLE in os.environ:
        if len(ids) == count:
            return ids
        names = {f"{job}-{gpu}": gpu for gpu in ids}
    else:
        names = {gpu: gpu for gpu in _with_uuids(ids)}
    if len(names) < count:
        problem = f"{count} processes need a GPU each, and there {'is' if len(names) == 1 else 'are'} {len(names)}"
        raise UserError(problem, "compute.processes", f"set {len(names)}, or ask the scheduler for {count} GPUs")
    return [names[name] for name in claim(list(names), lock_folder(), progress, count)]


def lock_folder() -> Path:
    """Where the locks of this machine's jobs are, one set per user."""
    folder = Path(tempfile.gettempdir()) / f"xmodbench-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def claim(names: list[str], folder: Path, progress: Progress, count: int = 1, poll_s: float = 2.0) -> list[str]:
    """Lock the first `count` free ones of GPUs for this process's life; wait while too few are.

    Who needs several keeps those it has while it waits. One process at a time does so: two that each held some and waited
    for more would wait for ever.
    """
    found: set[str] = set()
    waiting = False
    with ExitStack() as turn:
        if count > 1:
            fcntl.flock(turn.enter_context(open(folder / "several", "w")), fcntl.LOCK_EX)
        while True:
            for name in names:
                if len(found) < count and name not in found and _locked(folder / name.replace("/", "_")):
                    found.add(name)
            if len(found) == count:
                return [name for name in names if name in found]
            if not waiting:
                progress.say(f"waiting for {_free(count - len(found))} (of {', '.join(names)})")
                waiting = True
            time.sleep(poll_s)


def _free(count: int) -> str:
    return "a free GPU" if count == 1 else f"{count} free GPUs"


def _locked(path: Path) -> bool:
    handle = open(path, "w")  # noqa: SIM115 (held open: closing it gives the lock back)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return False
    _held.append(handle)
    return True


# -- UUIDs ----------------------------------------------------------------------------------------------------------------
def _with_uuids(ids: list[str]) -> list[str]:
    """The same GPUs by their UUIDs as far as the driver tells them, which CUDA takes for ids too.

    The numbers of devices in /dev are no ids: of a container that was given the fourth GPU, CUDA's first is ``nvidia3``.
    """
    known = parse_uuids(_driver_says())
    if not known:
        return ids
    if VISIBLE not in os.environ:
        return [uuid for instances in known for uuid in instances]
    return [known[int(gpu)][0] if gpu.isdigit() and int(gpu) < len(known) else gpu for gpu in ids]


def parse_uuids(said: str) -> list[list[str]]:
    """UUIDs in what ``nvidia-smi -L`` says, a list per GPU: its own, or those of the instances that it is divided into."""
    found: list[list[str]] = []
    for line in said.splitlines():
        uuid = re.search(r"UUID: ([\w/.-]+)\)", line)
        if uuid is None:
            continue
        if line.startswith("GPU "):
            found.append([uuid[1]])
        elif found:
            found[-1] = [one for one in found[-1] if one.startswith("MIG-")] + [uuid[1]]
    return found


def _driver_says() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
