"""A Slurm with four pretended GPUs, and working folders whose jobs go there as profiles/slurm says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm import Slurm, holds_jobs, lacking
from tests.plugins import write_method
from tests.workflow.conftest import Work, write_volumes
from xmodbench.files import REPOSITORY

STEPWISE = """
import json, time
from xmodbench.files import write_json

class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        state, self.value, step = run.state_dir / "state.json", 0.5, 0
        if state.is_file():
            step, self.value = json.loads(state.read_text())
        self.started_at = step
        while step < 200:
            self.value = (self.value * 3.9 * (1 - self.value) + float(train.target[step % len(train.target)].mean())) % 1
            step += 1
            write_json(state, [step, self.value])
            while step == 100 and not (run.state_dir / "go").exists():
                time.sleep(0.1)
    def save(self, directory):
        (directory / "value.json").write_text(json.dumps(self.value))
        (directory / "started_at.json").write_text(json.dumps(self.started_at))
    def load(self, directory, run): self.value = json.loads((directory / "value.json").read_text())
    def translate(self, source, generators): return (0.5 * source + 0.5 * self.value).astype(np.float32)
"""
"""A method that waits half-way through its training, until a file ``go`` lies in its state or it is killed and resumed."""


class OnSlurm(Work):
    """A working folder whose jobs go to a Slurm."""

    def __init__(self, folder: Path, slurm: Slurm):
        super().__init__(folder)
        self.slurm, self.profile = slurm, folder / "profile"
        shutil.copytree(REPOSITORY / "profiles" / "slurm", self.profile)
        self.site("slurm-status-command: squeue", "slurm-partition-config: partitions.yaml")

    def site(self, *lines: str) -> None:
        """Take what the profile has as a remark for sites that need it."""
        file = self.profile / "profile.yaml"
        text = file.read_text()
        for line in lines:
            assert f"# {line}" in text, line
            text = text.replace(f"# {line}", line)
        file.write_text(text)

    def submit(self, *options: str, profile: str = "--workflow-profile") -> subprocess.Popen:
        """Snakemake, whose jobs go to the Slurm; it asks for them more often than it would.

        Args:
            profile: the option that names the profile, in the place of the default one or (``--profile``) beside it.
        """
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-s",
            str(REPOSITORY / "Snakefile"),
            "--configfile",
            str(self.config),
        ]
        often = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "20"]
        return subprocess.Popen(
            [*command, profile, str(self.profile), *often, *options],
            cwd=self.folder,
            env={**self.slurm.environment, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def model(self, method: str) -> Path:
        return self.results / "models" / method / "heads" / "t1"

    def state(self, method: str) -> Path:
        return self.folder / "work" / "tiny" / f"{method}.heads.t1"

    def steps(self, method: str) -> int:
        try:
            return json.loads((self.state(method) / "state.json").read_text())[0]
        except (OSError, ValueError):
            return 0

    def targets(self, *methods: str) -> list[str]:
        """Options that ask for the models of methods and nothing after them."""
        return ["--", *(str((self.model(method) / "record.json").relative_to(self.folder)) for method in methods)]

    def value(self, method: str) -> float:
        return json.loads((self.model(method) / "value.json").read_text())


def ended(run: subprocess.Popen, seconds: float = 900) -> str:
    """What a run said; it must have succeeded."""
    said = run.communicate(timeout=seconds)[0]
    assert run.returncode == 0, said
    return said


def wait_for(condition: Callable[[], bool], run: subprocess.Popen | None = None, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if run is not None and run.poll() is not None:
            pytest.fail(run.communicate()[0])
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name that every user may enter, such as munge."""
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """One node with four GPUs, which the kernel holds jobs to where it can."""
    if (reason := lacking()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        Path(name).chmod(0o755)
        with Slurm(Path(name), cgroups=holds_jobs()) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def prepared(slurm, tmp_path_factory) -> OnSlurm:
    """Four methods that train step by step, and the data they need; nothing trained."""
    work = OnSlurm(tmp_path_factory.mktemp("prepared"), slurm)
    write_volumes(work.folder / "volumes")
    names = ("one", "two", "three", "four")
    for name in names:
        write_method(
            work.folder, name, STEPWISE, meta="label: A\nsummary: b\nresources: {gpu: 1, mem_mb: 2000, runtime: 30}\n"
        )
    work.write_config(methods={name: {} for name in names})
    done = work.run("data/heads/record.json")
    assert done.returncode == 0, done.stderr
    return work


@pytest.fixture
def work(prepared, tmp_path) -> OnSlurm:
    """A copy of it."""
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(prepared.folder), str(folder)], check=True)
    shutil.rmtree(folder / "profile")
    return OnSlurm(folder, prepared.slurm)


@pytest.fixture(scope="session")
def undisturbed(prepared, tmp_path_factory) -> float:
    """What a training of four methods alike ends with on this machine, without a Slurm."""
    folder = tmp_path_factory.mktemp("alone") / "copy"
    subprocess.run(["cp", "-a", str(prepared.folder), str(folder)], check=True)
    shutil.rmtree(folder / "profile")
    alone = OnSlurm(folder, prepared.slurm)
    alone.state("one").mkdir(parents=True)
    (alone.state("one") / "go").touch()
    done = alone.run(*alone.targets("one"))
    assert done.returncode == 0, done.stderr
    return alone.value("one")
