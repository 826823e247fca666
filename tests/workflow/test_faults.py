"""The workflow when the machine, its user or its scheduler misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.plugins import write_method
from tests.workflow.conftest import ENVIRONMENT, Work
from tests.workflow.test_failures import FAILING, SLOW, kill_tree
from xmodbench.files import REPOSITORY
from xmodbench.plan.snakemake import OWNER

MODEL = "results/tiny/models/slow/heads/t1"
STATE = "work/tiny/slow.heads.t1/state.json"


def fault(case: str, outcome: str):
    return pytest.mark.fault("workflow", case, outcome)


def snakemake(work: Work, *options: str, **popen) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", "config.yaml"]
    return subprocess.Popen(
        [*command, "--cores", "2", *options],
        cwd=work.folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        **popen,
    )


def continued(work: Work, *options: str) -> subprocess.CompletedProcess:
    """`xmodbench run`, as a user would go on."""
    command = [sys.executable, "-m", "xmodbench", "run", "config.yaml", "--cores", "2", *options]
    return subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def steps_of(path: Path) -> int:
    try:
        return json.loads(path.read_text())[0]
    except (OSError, ValueError):
        return 0


def wait_for(condition, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def working_in(folder: Path) -> list[str]:
    """Command lines of the processes that belong to a run in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words and (process / "cwd").resolve().is_relative_to(folder.resolve()):
                found.append(words)
        except OSError:
            continue
    return found


@pytest.fixture
def slow(fresh) -> Work:
    """A run with one training of four seconds that can be resumed."""
    write_method(fresh.folder, "slow", SLOW)
    fresh.write_config(methods={"slow": {}})
    return fresh


KILLED = "Snakemake alone is killed (SIGKILL) while a training runs"


@pytest.mark.parametrize(
    ("number", "everyone"),
    [
        pytest.param(
            signal.SIGKILL, False, marks=fault(KILLED, "the training saves its state and ends, the next run goes on")
        ),
        pytest.param(
            signal.SIGINT,
            True,
            marks=[fault("Ctrl-C", "all jobs end, their state is kept, the next run goes on"), pytest.mark.slow],
        ),
    ],
)
def test_a_run_that_is_ended_leaves_no_orphan_and_goes_on(slow, number, everyone):
    job = snakemake(slow, f"{MODEL}/record.json")
    state = slow.folder / STATE
    wait_for(lambda: steps_of(state) > 5)
    if everyone:
        os.killpg(job.pid, number)
    else:
        job.send_signal(number)
    job.wait(60)
    wait_for(lambda: not working_in(slow.folder), 30)
    assert not (slow.folder / MODEL / "record.json").exists()

    done = continued(slow, f"{MODEL}/record.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((slow.folder / MODEL / "started_at.json").read_text()) > 5


@fault("Snakemake is terminated (SIGTERM)", "what runs is finished, nothing else is started, the next run goes on")
@pytest.mark.slow
def test_a_terminated_run_goes_on(slow):
    job = snakemake(slow)
    wait_for(lambda: steps_of(slow.folder / STATE) > 0)
    job.send_signal(signal.SIGTERM)
    assert job.wait(90) != 0
    wait_for(lambda: not working_in(slow.folder), 30)
    assert not (slow.results / "report.html").exists()
    assert json.loads((slow.folder / MODEL / "record.json").read_text())["status"] == "complete"
    assert "train" not in slow.planned()


@fault("the folder is locked by a run on another machine", "refused, naming machine and process; nothing is unlocked")
@pytest.mark.slow
def test_a_lock_of_another_machine_is_left_alone(slow):
    job = snakemake(slow, f"{MODEL}/record.json")
    wait_for(lambda: (slow.folder / OWNER).is_file() and steps_of(slow.folder / STATE) > 0)
    kill_tree(job)
    owner = json.loads((slow.folder / OWNER).read_text())
    assert owner["pid"] == job.pid
    (slow.folder / OWNER).write_text(json.dumps({**owner, "host": "node17"}))

    done = continued(slow, f"{MODEL}/record.json")
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("xmodbench: error: ") and f"process {job.pid} on node17" in line
    assert "--unlock" in line
    assert any((slow.folder / ".snakemake/locks").iterdir())
    assert continued(slow, "--unlock").returncode == 0  # as the line says
    assert not list((slow.folder / ".snakemake").glob("locks/*"))


@fault("results were deleted", "what makes them runs again, and what they need")
@pytest.mark.slow
def test_deleted_results_are_made_again(work):
    (work.results / "figure.png").unlink()
    assert work.planned() == {"report": 1, "benchmark": 1}
    (work.results / "scores/copy_source.heads.pd-to-t1.csv").unlink()
    (work.results / "translations/copy_source/heads/pd-to-t1/record.json").unlink()
    assert work.planned() == {"translate": 1, "score": 1, "report": 1, "benchmark": 1}


@fault("a plugin's file was touched, its text unchanged", "nothing runs again")
def test_a_touched_plugin_reruns_nothing(work):
    os.utime(work.folder / "methods/gradient/method.py")
    assert work.planned() == {}


@fault("results cannot be written where they should go", "one line that names the folder")
def test_results_that_cannot_be_written(work):
    (work.folder / "blocked").write_text("a file")
    command = [sys.executable, "-m", "xmodbench", "translate", "copy_source"]
    command += ["--data", str(work.folder / "data/heads/test")]
    command += ["--source", "pd", "--target", "t1", "--out", "blocked/out"]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "blocked" in done.stderr.strip().splitlines()[-1]


@fault("--use-conda, and there is no conda", "said before anything runs")
def test_without_conda(fresh):
    bare = {**ENVIRONMENT, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", "config.yaml"]
    done = subprocess.run(
        [*command, "--cores", "1", "--use-conda"],
        cwd=fresh.folder,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "conda" in done.stderr
    assert not (fresh.folder / "data").exists()


@fault("a profile folder without a profile", "said before anything runs")
def test_an_empty_profile(fresh):
    (fresh.folder / "profile").mkdir()
    done = fresh.snakemake("--profile", "profile", "-n")
    assert done.returncode != 0
    assert "profile" in done.stderr
    assert not (fresh.folder / "data").exists()


@fault("a Snakemake that is too old", "it says which version it needs")
def test_an_old_snakemake(fresh):
    (fresh.folder / "old").mkdir()
    (fresh.folder / "old/sitecustomize.py").write_text(
        "import snakemake.common, snakemake\nsnakemake.common.__version__ = snakemake.__version__ = '8.0.0'\n"
    )
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", "config.yaml"]
    path = os.pathsep.join([str(fresh.folder / "old"), str(REPOSITORY)])
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "-n"], cwd=fresh.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "9.10 or higher" in done.stdout + done.stderr


@fault("spaces, quotes and umlauts in the path of the run", "it runs")
@pytest.mark.slow
def test_odd_paths(fresh, tmp_path_factory):
    odd = tmp_path_factory.mktemp("x") / "Kopf & 'Höhe' (1) $HOME"
    fresh.folder.rename(odd)
    work = Work(odd)
    work.write_config(methods={"copy_source": {}})
    done = work.run()
    assert done.returncode == 0, done.stderr
    assert (work.results / "report.html").is_file()


@fault("another working folder (--directory), the Snakefile elsewhere", "everything lands in that folder")
@pytest.mark.slow
def test_another_directory(fresh, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile")]
    command += ["--configfile", str(fresh.config), "--directory", str(fresh.folder), "--cores", "2"]
    target = "data/heads/train/manifest.json"
    done = subprocess.run(
        [*command, target], cwd=elsewhere, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (fresh.folder / target).is_file()
    assert not list(elsewhere.iterdir())


@fault(
    "no config is named, the Snakefile and the working folder (--directory) elsewhere", "the shipped config is planned"
)
@pytest.mark.parametrize(
    ("entry", "options"),
    [
        ("Snakefile", ["--directory", "there"]),
        pytest.param("Snakefile", [], marks=pytest.mark.slow),
        pytest.param("workflow/Snakefile", ["--directory", "there"], marks=pytest.mark.slow),
    ],
)
def test_the_default_config_is_found_from_anywhere(tmp_path, entry, options):
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / entry), "-n", "--quiet", "rules", *options]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(REPOSITORY / "config" / "paper.yaml") in done.stdout + done.stderr


@pytest.mark.slow
@fault(
    "a scheduler of one's own (cluster-generic), its jobs started by a submit command", "the same outputs, with records"
)
def test_a_scheduler_of_ones_own(fresh):
    submit = fresh.folder / "submit.sh"
    submit.write_text('#!/bin/sh\nnohup sh "$1" > "$1.out" 2>&1 &\necho $!\n')
    status = fresh.folder / "status.sh"
    status.write_text('#!/bin/sh\nkill -0 "$1" 2>/dev/null && echo running || echo success\n')
    for script in (submit, status):
        script.chmod(0o755)
    fresh.write_config(methods={"copy_source": {}})
    options = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(submit), "--jobs", "2"]
    options += ["--cluster-generic-status-cmd", str(status), "--latency-wait", "20"]
    options += ["--seconds-between-status-checks", "1"]
    target = "results/tiny/scores/copy_source.heads.pd-to-t1.csv"
    done = fresh.snakemake(*options, target)
    assert done.returncode == 0, done.stderr
    assert (fresh.folder / target).is_file()
    record = fresh.results / "translations/copy_source/heads/pd-to-t1/record.json"
    assert json.loads(record.read_text())["status"] == "complete"
    assert not (fresh.results / "models").exists()


@fault("three jobs want the only GPU", "they take turns; the others wait and say so")
def test_jobs_take_turns_at_a_gpu(tmp_path):
    """The lock that jobs on one machine share, held by real processes."""
    program = (
        "import sys, time; from pathlib import Path; from xmodbench.devices import claim;"
        "from xmodbench.progress import Progress;"
        "claim(['0'], Path(sys.argv[1]), Progress(), poll_s=0.05);"
        "print(time.monotonic()); time.sleep(0.3); print(time.monotonic())"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [job.communicate(timeout=60) for job in jobs]
    spans = sorted(tuple(map(float, out.split())) for out, _ in said)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    assert sum("waiting for a free GPU" in err for _, err in said) >= 1


@fault("a method fails, and --keep-going was given", "the others are finished, the report shows the failed cells")
@pytest.mark.slow
def test_keep_going(fresh):
    write_method(fresh.folder, "failing", FAILING)
    fresh.write_config(methods={"failing": {}, "copy_source": {}})
    done = fresh.run("--keep-going")
    assert done.returncode == 1
    rows = json.loads((fresh.results / "partial/table.json").read_text())
    assert "failed" in json.dumps(rows)
    assert (fresh.results / "scores/copy_source.heads.pd-to-t1.csv").is_file()
