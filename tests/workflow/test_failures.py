"""What goes wrong stays visible, names itself, and can be continued."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.plugins import write_method
from tests.workflow.conftest import ENVIRONMENT
from xmodbench.files import REPOSITORY

FAILING = """
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): raise RuntimeError("loss is <b>nan</b>")
    def save(self, directory): pass
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""

SLOW = """
import json, time
from xmodbench.files import write_json

class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        state = run.state_dir / "state.json"
        step, value = json.loads(state.read_text()) if state.is_file() else (0, 0.5)
        self.started_at = step
        for step in range(step, 40):
            value = (value * 3.9 * (1 - value) + float(train.target[step % len(train.target)].mean())) % 1
            write_json(state, [step + 1, value])
            time.sleep(0.1)
        self.value = value
    def save(self, directory):
        (directory / "value.json").write_text(json.dumps(self.value))
        (directory / "started_at.json").write_text(json.dumps(self.started_at))
    def load(self, directory, run): self.value = json.loads((directory / "value.json").read_text())
    def translate(self, source, generators): return (0.5 * source + 0.5 * self.value).astype(np.float32)
"""


def test_a_failing_method_stops_nobody_else(fresh):
    write_method(fresh.folder, "failing", FAILING)
    fresh.write_config(methods={"failing": {}, "copy_source": {}})
    done = fresh.run()
    assert done.returncode == 1
    output = done.stdout + done.stderr
    assert "loss is <b>nan</b>" in output
    assert "To continue" in output
    # its cells are there as failed, the others have scores, and nothing poses as the whole report
    assert not (fresh.results / "report.html").exists()
    table = json.loads((fresh.results / "partial" / "table.json").read_text())
    text = json.dumps(table)
    assert "failed" in text
    assert "copy_source" in text
    page = (fresh.results / "partial" / "report.html").read_text()
    assert "loss is <b>nan</b>" not in page  # escaped
    assert "loss is &lt;b&gt;nan" in page or "loss is \\u003cb" in page

    # once mended, only the failed cell and the report are left to run
    write_method(fresh.folder, "failing", FAILING.replace('raise RuntimeError("loss is <b>nan</b>")', "pass"))
    assert fresh.planned() == {"train": 1, "translate": 1, "score": 1, "report": 1, "benchmark": 1}


def test_a_wrong_config_stops_before_planning(fresh):
    fresh.write_config(methods={"gradiant": {}})
    done = fresh.run()
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert errors == ["xmodbench: error: methods.gradiant: unknown method; did you mean 'gradient'? (config.yaml)"]
    assert "Traceback" not in done.stderr
    assert not (fresh.folder / "results").exists()


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda folder: [path.unlink() for path in folder.glob("*_PD*")], "no file matches '{subject}_PD.nii.gz' (pd)"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "no volumes here"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), "volumes: no such folder"),
    ],
)
def test_missing_data_stops_with_one_line(fresh, harm, expected):
    harm(fresh.folder / "volumes")
    done = fresh.run()
    assert done.returncode == 1
    assert expected in done.stderr + done.stdout


def kill_tree(job: subprocess.Popen) -> None:
    """SIGKILL to a job and everything it started, as a power cut would."""
    os.killpg(job.pid, signal.SIGKILL)
    job.wait(10)


def test_killed_training_resumes_to_the_same_bits(fresh):
    write_method(fresh.folder, "slow", SLOW)
    fresh.write_config(methods={"slow": {}})
    target = "results/tiny/models/slow/heads/t1/record.json"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(REPOSITORY / "Snakefile"),
        "--configfile",
        "config.yaml",
    ]
    job = subprocess.Popen(
        [*command, "--cores", "2", target],
        cwd=fresh.folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    state = fresh.folder / "work" / "tiny" / "slow.heads.t1" / "state.json"
    deadline = time.time() + 60
    while not (state.is_file() and json.loads(state.read_text())[0] > 5) and time.time() < deadline:
        time.sleep(0.02)
    kill_tree(job)
    assert not (fresh.folder / target).exists()

    # `xmodbench run` removes the dead run's lock and goes on where it stopped
    run = [sys.executable, "-m", "xmodbench", "run", "config.yaml", "--cores", "2", target]
    done = subprocess.run(run, cwd=fresh.folder, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    # where there is no terminal: a line for each job that begins, and one for its end
    assert "begins: train slow heads t1" in done.stderr.splitlines()
    assert re.search(r"^done:   train slow heads t1 in \d:\d\d$", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stderr and "wildcards:" not in done.stderr
    model = (fresh.folder / target).parent
    assert json.loads((model / "started_at.json").read_text()) > 5

    value, images = 0.5, np.load(fresh.folder / "data" / "heads" / "train" / "t1.npy")
    for step in range(40):
        value = (value * 3.9 * (1 - value) + float(images[step % len(images)].mean())) % 1
    assert json.loads((model / "value.json").read_text()) == value
    assert not state.exists()  # kept only as long as it is needed


def test_two_runs_at_once_do_not_mix(fresh):
    write_method(fresh.folder, "slow", SLOW)
    fresh.write_config(methods={"slow": {}})
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(REPOSITORY / "Snakefile"),
        "--configfile",
        "config.yaml",
    ]
    first = subprocess.Popen(
        [*command, "--cores", "1"],
        cwd=fresh.folder,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    deadline = time.time() + 60
    while not (fresh.folder / "data" / "heads" / "acquire.record.json").exists() and time.time() < deadline:
        time.sleep(0.05)
    second = subprocess.run(
        [sys.executable, "-m", "xmodbench", "run", "config.yaml"],
        cwd=fresh.folder,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    kill_tree(first)
    assert second.returncode != 0
    assert "lock" in (second.stderr + second.stdout).lower()
