"""Jobs end with the Snakemake that started them, however it ended: an orphan would work on beside its successor."""

from __future__ import annotations

import os
import signal
import threading
import time

STARTED_BY = "XMODBENCH_STARTED_BY"
"""Variable that holds Snakemake's process number, set for every job by `xmodbench.plan.jobs.shell_prefix`."""
GRACE_S = 60.0
"""How long a job may take to save its state before it is killed."""


def end_with_snakemake() -> None:
    """Watch the Snakemake that started this job, where one did; once it is gone come SIGTERM and, after a while, SIGKILL."""
    given = os.environ.get(STARTED_BY, "")
    if given.isdigit() and int(given) > 1:
        threading.Thread(target=_watch, args=(int(given),), daemon=True).start()


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
