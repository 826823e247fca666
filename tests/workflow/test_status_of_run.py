"""What people see of a run: its terminal, and `xmodbench status` while it goes on, after a kill, a failure, at the end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import yaml
from typer.testing import CliRunner

from tests.plugins import write_method
from tests.workflow.conftest import ENVIRONMENT, job_list
from xmodbench.cli.app import app
from xmodbench.files import SHIPPED

RUN = [sys.executable, "-m", "xmodbench", "run", "config.yaml", "--cores", "2"]
STATUS = [sys.executable, "-m", "xmodbench", "status"]

SLOW = """
import time

class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        pause = 0.0 if (run.state_dir / "again").exists() else 0.2  # slow the first time
        (run.state_dir / "again").touch()
        for _ in run.progress.track(range(500), "train", total=500):
            time.sleep(pause)
    def save(self, directory): (directory / "nothing").touch()
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
FAILING = SLOW.replace("pause =", 'raise RuntimeError("loss is [red]nan")\n        pause =')


class Terminal:
    """A command on a terminal of 40 rows and 110 columns; `text` is all that was written to it."""

    def __init__(self, command, folder):
        ours, theirs = pty.openpty()
        variables = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "110", "LINES": "40"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.text = ""
        self.reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self.reader.start()

    def _read(self, ours):
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            self.text += data.decode("utf-8", "replace")

    def wait(self, timeout):
        code = self.process.wait(timeout)
        self.reader.join(5)
        return code


def status(work, *options):
    done = subprocess.run(
        [*STATUS, *options], cwd=work.folder, capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(work):
    return {job["job"]: job for job in json.loads(status(work, "config.yaml", "--json"))["jobs"]}


def wait_for(path, text, timeout=90):
    """Wait until a file holds a text."""
    end = time.monotonic() + timeout
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < end, f"{path} does not say {text}"
        time.sleep(0.1)


def test_a_run_on_a_terminal_and_its_status(fresh):
    write_method(fresh.folder, "slow", SLOW)
    write_method(fresh.folder, "failing", FAILING)
    fresh.write_config(methods={"slow": {}, "failing": {}, "copy_source": {}})
    terminal = Terminal(RUN, fresh.folder)
    try:
        slow, failing = "train slow heads t1", "train failing heads t1"
        logs = fresh.results / "logs" / "train"
        wait_for(logs / "failing.heads.t1.log", "xmodbench: error: ")
        wait_for(logs / "slow.heads.t1.log", "/500 [")
        wait_for(fresh.results / "translations" / "copy_source" / "heads" / "pd-to-t1" / "record.json", "complete")
        alive = states(fresh)  # the run takes no notice: nothing here takes its lock
        assert alive["prepare heads"]["state"] == "done"
        assert alive[slow]["state"] == "running"
        assert alive[slow]["step"]["total"] == "500" and 0 < alive[slow]["step"]["left_s"] <= 110
        assert alive[failing]["said"].endswith("RuntimeError: loss is [red]nan")
        assert alive["score slow heads pd-to-t1"]["state"] == "waiting"
        said = status(fresh, "tiny")
        assert "Snakemake runs here: process" in said and re.search(
            r"train slow heads t1: train \d+/500 .* left; ", said
        )

        pid = int(re.search(r"process (\d+)", alive[slow]["where"])[1])
        os.kill(pid, signal.SIGKILL)
        assert terminal.wait(60) == 1
    finally:
        if terminal.process.poll() is None:
            os.killpg(terminal.process.pid, signal.SIGKILL)
    after = states(fresh)
    assert after[slow]["state"] == "killed" and str(pid) in after[slow]["where"]
    assert after[failing]["state"] == "failed" and after["translate copy_source heads pd-to-t1"]["state"] == "done"
    said = status(fresh, str(fresh.results))
    assert f"{slow}: process {pid} on" in said and "is gone; it last said: " in said and "no Snakemake works" in said

    # the terminal: a line for a job that runs, failures in full, and none of Snakemake's news
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.text)
    assert re.search(r"train slow heads t1 +train \d+/500 \(\d+ %\), \d:\d\d left", plain)
    assert "FAILED: train failing heads t1 after" in terminal.text
    assert "RuntimeError: loss is [red]nan" in terminal.text and "FAILED: train slow heads t1" in terminal.text
    assert "To continue" in terminal.text and "2 failed" in terminal.text
    for noise in ("wildcards:", "Select jobs", "reason:", "Building DAG", "Job stats"):
        assert noise not in terminal.text
    # which are in a file
    (log,) = (fresh.folder / ".snakemake" / "log").glob("*.snakemake.log")
    assert "wildcards: training=slow" in log.read_text()


def test_the_jobs_of_a_config_with_everything(fresh, monkeypatch):
    """Trainings in two phases, archives, sweeps, borrowers and parts: as many jobs as Snakemake plans."""
    values = yaml.safe_load((SHIPPED / "config" / "smoke.yaml").read_text())
    values["datasets"]["ixi"] = {"directions": ["pd->t1"]}
    fresh.config.write_text(yaml.safe_dump(values))
    found = job_list(fresh, monkeypatch)
    counts = found.count()
    assert {"fetch", "pretrain", "translate_part", "gather"} <= set(counts)
    assert counts == {rule: count for rule, count in fresh.planned().items() if rule != "benchmark"}


def test_a_run_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, expected in (
        ([], "no run in this folder"),
        (["smokey"], "neither a run of this folder nor a config; did you mean 'smoke'"),
    ):
        done = CliRunner().invoke(app, ["status", *words])
        assert expected in str(done.exception)
