"""A job's log tells who does the job, that it lives, how far it is and how it ended; nothing in it leads readers astray."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time

import pytest

from xmodbench.files import REPOSITORY
from xmodbench.plan import job_log
from xmodbench.plan.job_log import SILENT_S, job_name, log_text, read_log
from xmodbench.plan.lifeline import STARTED_BY

ELSEWHERE = "[10:00:00] process 7 on another-node began at 2026-01-01T10:00:00Z\n"

# what cli/__init__.py does around a verb
JOB = """
import sys, time
from xmodbench.plan.job_log import begin_log, end_log
from xmodbench.progress import Progress
logged = begin_log()
for _ in Progress(every_s=0.05).track(range(100), "train", total=100):
    time.sleep({pause})
if {fails}:
    print("xmodbench: error: the\\033[31m disk is full", file=sys.stderr)
    sys.exit(1)
if logged:
    end_log()
"""


def started(tmp_path, pause=0.0, fails=False, **variables):
    """A job's process with its log."""
    log = tmp_path / "job.log"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), STARTED_BY: str(os.getpid()), **variables}
    with open(log, "w") as handle:
        command = [sys.executable, "-c", JOB.format(pause=pause, fails=fails)]
        return log, subprocess.Popen(command, stderr=handle, env=environment)


def test_a_job_that_runs_is_killed_and_one_that_ends(tmp_path):
    log, process = started(tmp_path, pause=0.2)
    end = time.monotonic() + 30
    while not ((found := read_log(log)) and found.step) and time.monotonic() < end:
        time.sleep(0.02)
    assert found is not None and found.step is not None
    assert found.alive and not found.ended
    assert (found.pid, found.host) == (process.pid, platform.node())
    assert abs(found.since - time.time()) < 30
    assert found.step.total == "100" and found.step.left_s <= 20 and found.progress.startswith("train ")
    process.kill()
    process.wait()
    found = read_log(log)
    assert not found.alive and not found.ended

    log, process = started(tmp_path)
    assert process.wait(30) == 0
    found = read_log(log)
    assert found.ended and not found.alive


def test_a_job_that_fails(tmp_path):
    log, process = started(tmp_path, fails=True)
    assert process.wait(30) == 1
    found = read_log(log)
    assert found.last == "xmodbench: error: the\\x1b[31m disk is full" and not found.alive and not found.ended
    assert log_text(log) == found.last


@pytest.mark.parametrize("variables", [{STARTED_BY: ""}, {"RANK": "1"}], ids=["by hand", "not the main process"])
def test_only_the_workflows_jobs_speak(tmp_path, variables):
    log, process = started(tmp_path, **variables)
    assert process.wait(30) == 0
    assert "process" not in log.read_text() and "ended" not in log.read_text()
    assert read_log(log).pid is None


@pytest.mark.parametrize(("silent_s", "alive"), [(1, True), (SILENT_S + 1, False)])
def test_a_job_of_another_machine_lives_by_its_signs_of_life(tmp_path, silent_s, alive):
    log = tmp_path / "job.log"
    log.write_text(ELSEWHERE + "[10:00:02] train:  40% 4/10 [00:01<00:03,  2.00it/s]\n")
    os.utime(log, (time.time() - silent_s,) * 2)
    found = read_log(log)
    assert found.alive == alive and found.host == "another-node" and found.step.percent == 40


def test_signs_of_life_are_the_logs_time(tmp_path, monkeypatch):
    """The thread's work, once: the log keeps its contents and gets a new time."""
    log = tmp_path / "job.log"
    log.write_text(ELSEWHERE)
    os.utime(log, (1, 1))
    naps = iter([None])
    monkeypatch.setattr(job_log.time, "sleep", lambda seconds: next(naps))
    kept = os.dup(2)
    try:
        with open(log, "a") as handle:
            os.dup2(handle.fileno(), 2)
            with pytest.raises(StopIteration):
                job_log._beat()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert log.read_text() == ELSEWHERE and time.time() - log.stat().st_mtime < 60


def test_a_number_that_another_process_got_is_not_the_job(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(f"[10:00:00] process {os.getpid()} on {platform.node()} began at 2026-01-01T10:00:00Z\n")
    assert not read_log(log).alive  # this process lives, but the log is not its standard error


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "\0\xff\n", "[10:00:00] process x on y began at z\n",
     "[10:00:00] process 1 on y began at 2026-99-99T10:00:00Z\n",
     "[99:99:99] a: 50% 1/2 [00:00<00:01]\n", "[10:00:00] a:   5% 1/2 [00:00<?, ?it/s]\n", "x" * 100_000],
)  # fmt: skip
def test_odd_logs_are_read(tmp_path, text):
    log = tmp_path / "job.log"
    log.write_text(text)
    found = read_log(log)
    assert not found.ended and found.last.isprintable() and str(found.progress)
    assert read_log(tmp_path / "none.log") is None and log_text(tmp_path / "none.log") == ""


def test_time_left_goes_on_between_two_lines(tmp_path):
    log = tmp_path / "job.log"
    now = time.mktime((2026, 1, 2, 0, 0, 10, 0, 0, -1))  # just after midnight, the line just before
    log.write_text("[23:59:50] train:  50% 5/10 [00:50<00:50,  1.00it/s]\n")
    assert read_log(log, now).step.left_s == 30
    log.write_text("[05:00:00] train:  50% 5/10 [00:50<00:50,  1.00it/s]\n")  # a clock of another zone
    assert read_log(log, now).step.left_s == 50


def test_a_failures_text_is_its_end_without_progress(tmp_path):
    log = tmp_path / "job.log"
    lines = [f"line {number}\x1b[2J" for number in range(300)]
    log.write_text(ELSEWHERE + "[10:00:01] a:  50% 1/2 [00:00<00:01,  1it/s]\n" + "\n".join(lines) + "\n")
    said = log_text(log, most=10).splitlines()
    assert said[0] == "[290 lines before these]" and said[1] == "line 290\\x1b[2J" and len(said) == 11


@pytest.mark.parametrize(
    ("rule", "wildcards", "name"),
    [
        ("prepare", {"dataset": "ixi"}, "prepare ixi"),
        ("fetch", {"dataset": "ixi", "archive": "IXI-T1.tar"}, "fetch ixi IXI-T1.tar"),
        ("pretrain", {"dataset": "ixi", "pretraining": "gan", "model": "t1"}, "pretrain gan ixi t1"),
        (
            "translate_part",
            {"method": "cut", "dataset": "ixi", "source": "pd", "target": "t1", "part": "1", "parts": "2"},
            "translate cut ixi pd-to-t1 1-of-2",
        ),
        ("report", {}, "report"),
    ],
)
def test_names_of_jobs(rule, wildcards, name):
    assert job_name(rule, wildcards) == name
