"""Trainings by two processes, started by torchrun and stopped on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def started(*command: object) -> subprocess.Popen:
    """`command` in two processes of one thread each, from this checkout."""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    words = [*LAUNCH, *map(str, command)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen) -> str:
    """What it said; it must have succeeded."""
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 0, said
    return said


def stopped(process: subprocess.Popen, state: Path, steps: int) -> int:
    """Send SIGTERM once the state in the file ``state`` has `steps` steps; how many it has in the end."""
    wait_for(process, state, steps)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    return done(state)


def wait_for(process: subprocess.Popen, state: Path, steps: int) -> None:
    """Wait until the state in the file ``state`` has `steps` steps, or the process has ended."""
    for _ in range(20_000):
        if done(state) >= steps or process.poll() is not None:
            break
        time.sleep(0.01)


def below(pid: int) -> list[int]:
    """Processes that one started, and those that these started."""
    own = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [*own, *(deeper for child in own for deeper in below(child))]


def done(state: Path) -> int:
    try:
        return json.loads(state.read_text())["done"]
    except (OSError, ValueError):
        return 0
