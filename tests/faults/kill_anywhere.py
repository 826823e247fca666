"""Kill a tiny whole run at random moments and continue it: the results are the same bit for bit, and nothing is left behind.

    python -m tests.faults.kill_anywhere [--kills 50] [--seed 0]

The run is small and real: volumes, a training of MIDiffusion that is resumed, its translations, scores, the report. Each
round starts it afresh, kills it with SIGKILL at a random moment, the whole process group or one process of it (Snakemake or
a job), and continues it with the command that it prints for that. One round is part of the suite, three of its slow tests.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.workflow.conftest import ENVIRONMENT, Work, write_volumes

RUN = [sys.executable, "-m", "xmodbench", "run", "config.yaml", "--cores", "2"]
HALF_WRITTEN = (".tmp-", ".spool-")  # how names begin or go on of what is written beside its place
SETTINGS = {"preset": "short", "width": 8, "iterations": 12, "batch_size": 2, "sampling_steps": 4, "checkpoint_s": 0.2}
METHODS = {"midiffusion": {"settings": SETTINGS}}


def made(folder: Path) -> Work:
    """A working folder with volumes and a config, nothing run."""
    work = Work(folder)
    write_volumes(folder / "volumes")
    work.write_config(methods=METHODS)
    return work


def processes(folder: Path) -> list[int]:
    """Processes that work in a folder or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder.resolve()) and (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(found)


def left_over(folder: Path) -> list[str]:
    """What is half written, or a training's state, in the folder of a finished run."""
    found = [path for path in folder.rglob("*") if any(mark in path.name for mark in HALF_WRITTEN)]
    found += [path for path in (folder / "work").rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in found if ".snakemake" not in path.parts]


def killed_and_continued(work: Work, chance: random.Random, seconds: float) -> str:
    """Start, kill after `seconds`, continue to the end; returns what was killed."""
    run = subprocess.Popen(
        RUN,
        cwd=work.folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    candidates, what = processes(work.folder), "everything"
    if candidates and chance.random() < 0.5:
        victim = chance.choice(candidates)
        what = f"process {candidates.index(victim) + 1} of {len(candidates)}"
        os.kill(victim, signal.SIGKILL)
        run.wait(300)
    else:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(60)
    until = time.monotonic() + 90  # what lost its Snakemake saves its state and ends
    while (orphans := processes(work.folder)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not orphans, f"{orphans} work on after {what} was killed"
    done = subprocess.run(RUN, cwd=work.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:  # a job that was killed has failed; the message says how to go on
        said = done.stderr.splitlines()
        command = said[next(i for i, line in enumerate(said) if line.startswith("To continue")) + 1].strip()
        done = subprocess.run(
            shlex.split(command), cwd=work.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, (
        f"cannot be continued after {what} was killed at {seconds:.1f} s:\n{done.stderr[-3000:]}"
    )
    return what


def main(kills: int, seed: int, say=print) -> None:
    """Do all rounds; AssertionError where one ends otherwise than a run that was left alone."""
    chance, root = random.Random(seed), Path(tempfile.mkdtemp(prefix="kill-anywhere-"))
    whole = made(root / "whole")
    began = time.monotonic()
    subprocess.run(RUN, cwd=whole.folder, env=ENVIRONMENT, capture_output=True, check=True)
    length = time.monotonic() - began
    wanted = (whole.results / "table.csv").read_bytes()
    say(f"a run takes {length:.0f} s")
    for number in range(1, kills + 1):
        work = made(root / f"round{number}")
        seconds = chance.uniform(0.5, length)
        what = killed_and_continued(work, chance, seconds)
        assert (work.results / "table.csv").read_bytes() == wanted, f"round {number}: another table, in {work.folder}"
        assert not (left := left_over(work.folder)), f"round {number}: left behind: {', '.join(left)}"
        say(f"round {number}: {what} killed at {seconds:.1f} s; the same table")
        shutil.rmtree(work.folder)
    shutil.rmtree(root)
    say(f"{kills} kills, {kills} equal tables")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.kills, arguments.seed)
