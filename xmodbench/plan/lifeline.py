"""Jobs end with the Snakemake or torchrun that started them, however it ended: an orphan would hinder its successor."""

from __future__ import annotations

import os
import signal
import threading
import time

STARTED_BY = "XMODBENCH_STARTED_BY"
"""Variable that holds Snakemake's process number, set for every job by `xmodbench.plan.deployment`."""
OF_TORCHRUN = "TORCHELASTIC_RUN_ID"
"""Variable that torchrun and ``accelerate launch`` set for every process that they start."""
GRACE_S = 60.0
"""How long a job may take to save its state before it is killed."""


def end_with_starter() -> None:
    """Watch the Snakemake that started this job, and the launcher of several processes, where there was one.

    Once either is gone come SIGTERM and, after a while, SIGKILL.
    """
    given = os.environ.get(STARTED_BY, "")
    starters = {int(given)} if given.isdigit() else set()
    if OF_TORCHRUN in os.environ:
        starters.add(os.getppid())
    for pid in starters - {0, 1}:
        threading.Thread(target=_watch, args=(pid,), daemon=True).start()


def _watch(pid: int) -> None:
    _wait_for_the_end_of(pid)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_the_end_of(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # an older system: ask again and again
        while lives(pid):
            time.sleep(1)
        return
    import select

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()


def lives(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True
