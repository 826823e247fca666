"""profiles/generic with a scheduler that kills: PBS, SGE and LSF as far as its commands go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ENVIRONMENT
from xmodbench.files import REPOSITORY

PROFILE = REPOSITORY / "profiles" / "generic"
COMMANDS = {"pbs": ("qsub", "qstat", "qdel"), "sge": ("qsub", "qstat", "qdel"), "lsf": ("bsub", "bjobs", "bkill")}


class StandIn:
    """One of the schedulers, in a folder of its own, and what the profile says to it."""

    def __init__(self, dialect: str, folder: Path):
        self.dialect, self.folder, self.state = dialect, folder, folder / "state"
        commands = folder / "bin"
        for path in (commands, self.state):
            path.mkdir(parents=True)
        program = Path(__file__).with_name("stand_in_scheduler.py").read_text()
        for name in COMMANDS[dialect]:
            (commands / name).write_text(f"#!{sys.executable}\n{program}")
            (commands / name).chmod(0o755)
        # no other scheduler's commands, should this machine have them
        path = [str(commands), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
        self.environment = {**ENVIRONMENT, "PATH": os.pathsep.join(path), "STAND_IN": str(self.state)}
        self.environment |= {"XMODBENCH_LATENCY_S": "0"} | ({"SGE_ROOT": "/sge"} if dialect == "sge" else {})

    def submit_command(self) -> str:
        """The profile's command for this scheduler: the one that is shipped, or one to be put in its place."""
        text = (PROFILE / "profile.yaml").read_text()
        blocks = re.findall(r"^(?:# )?cluster-generic-submit-cmd: >-\n(?:(?:# )?  .+\n)+", text, re.MULTILINE)
        found = {}
        for block in blocks:
            command = yaml.safe_load(re.sub("^# ", "", block, flags=re.MULTILINE))["cluster-generic-submit-cmd"]
            found["lsf" if "bsub" in command else "sge" if "-terse" in command else "pbs"] = command
        return found[self.dialect]

    def submit(self, script: str) -> str:
        """Submit a job with the profile's job script; returns what the command said."""

        class Asked:
            gpu, mem_mb, runtime = 1, 1000, 90

        file = self.folder / "job.sh"
        file.write_text((PROFILE / "jobscript.sh").read_text().format(properties="{}", exec_job=script))
        command = self.submit_command().format(rule="train", jobid=7, threads=2, resources=Asked)
        return self._said("sh", "-c", f'{command} "{file}"')

    def status(self, job: str) -> str:
        return self._said(str(PROFILE / "status.py"), job)

    def cancel(self, *jobs: str) -> None:
        self._said(str(PROFILE / "cancel.py"), *jobs)

    def ended(self, job: str) -> str:
        """What becomes of a job."""
        for _ in range(200):
            if (said := self.status(job)) != "running":
                return said
            time.sleep(0.05)
        return "running"

    def _said(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()


@pytest.fixture(params=COMMANDS)
def stand_in(request, tmp_path) -> StandIn:
    return StandIn(request.param, tmp_path / "scheduler")


@pytest.mark.parametrize(("script", "end"), [("echo done && exit 0 || exit 1", "success"), ("false", "failed")])
def test_how_a_job_ended_and_what_it_said(stand_in, script, end):
    job = stand_in.submit(script)
    assert stand_in.ended(job) == end
    logs = list((stand_in.folder / ".snakemake" / "generic").glob("*.log"))
    assert [path.name for path in logs] == ["train.7.log"]
    assert ("done" in logs[0].read_text()) == (end == "success")


def test_a_job_that_is_killed_has_failed(stand_in):
    """By its time limit, for want of memory or with its node: it can write nothing any more."""
    job = stand_in.submit("sleep 100")
    assert stand_in.status(job) == "running"
    (stand_in.state / "down").touch()
    assert stand_in.status(job) == "running"  # nobody answers: nobody knows
    (stand_in.state / "down").unlink()
    os.killpg(int(next(stand_in.state.glob("*.pid")).read_text()), 9)
    assert stand_in.ended(job) == "failed"


def test_a_shared_disk_is_given_time_to_show_how_a_job_ended(stand_in):
    stand_in.environment["XMODBENCH_LATENCY_S"] = "60"
    job = stand_in.submit("exit 0")
    assert stand_in.ended(job) == "success"
    code = next((stand_in.folder / ".snakemake" / "generic").glob("*.exit"))
    code.rename(code.with_suffix(".late"))
    assert stand_in.status(job) == "running"
    code.with_suffix(".late").rename(code)
    assert stand_in.status(job) == "success"


def test_what_is_stopped_leaves_no_jobs_behind(stand_in):
    jobs = [stand_in.submit("sleep 100") for _ in range(2)]
    stand_in.cancel(*jobs)
    assert [stand_in.ended(job) for job in jobs] == ["failed", "failed"]


def test_a_job_that_grid_engine_will_never_start_has_failed(tmp_path):
    """Its state Eqw, such as for a folder that a node does not see."""
    stand_in = StandIn("sge", tmp_path / "scheduler")
    (stand_in.folder / "bin" / "qstat").write_text("#!/bin/sh\necho 'error reason    1:  can not open output file'\n")
    assert stand_in.ended("1") == "failed"


def test_a_killed_training_is_noticed_and_tried_again(work, tmp_path):
    """Without `status.py` Snakemake would wait for ever for the file that a job writes at its end."""
    stand_in = StandIn("pbs", tmp_path / "scheduler")
    (stand_in.state / "kill-train").touch()
    shutil.rmtree(work.results / "models")
    options = ["--workflow-profile", str(PROFILE), "--seconds-between-status-checks", "1", "--latency-wait", "10"]
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", str(work.config)]
    done = subprocess.run(
        [*command, *options, "--", "results/tiny/models/gradient/heads/t1/record.json"],
        **{"cwd": work.folder, "env": stand_in.environment, "capture_output": True, "text": True, "timeout": 300},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (work.results / "models/gradient/heads/t1/record.json").is_file()
    assert done.stderr.count("with external jobid") == 2 and "Trying to restart job" in done.stderr
    assert len(list((work.folder / ".snakemake/generic").glob("train.*.log"))) == 1
