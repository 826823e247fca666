"""Jobs find their Python under every `--sdm`, and so does what is no job: the report after a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.settings.types import DeploymentMethod
from snakemake.shell import shell

from tests.plugins import write_method
from tests.workflow import stand_in_conda
from tests.workflow.conftest import ENVIRONMENT, Work
from tests.workflow.test_failures import FAILING
from xmodbench.files import REPOSITORY
from xmodbench.generate.lock import Lock, Pin
from xmodbench.plan.config import Compute
from xmodbench.plan.deployment import BIND, Deployment

APPTAINER = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
while [ "$1" != sh ] && [ "$1" != bash ]; do image=$1; shift; done
[ -d "$image" ] || { echo "no image $image" >&2; exit 255; }
PATH="$image/bin:/usr/bin:/bin" exec "$@"
"""
"""An image is a folder with a ``bin``; nothing is kept from what runs "in" it."""

BARE = "/usr/bin:/bin"  # no `python` there, as on a machine whose users bring their own


def deployment(*methods: DeploymentMethod, jobs=(), **compute) -> Deployment:
    settings = SimpleNamespace(deployment_method=set(methods), conda_base_path=None, apptainer_args="")
    return Deployment(SimpleNamespace(deployment_settings=settings, dag=SimpleNamespace(jobs=jobs)), Compute(**compute))


def python_of(prefix: str) -> str:
    found = subprocess.run(
        ["bash", "-c", f"{prefix} command -v python"], env={"PATH": BARE}, capture_output=True, text=True
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("methods", "compute"),
    [
        ([], {}),
        ([], {"container": "image.sif"}),
        ([DeploymentMethod.ENV_MODULES], {}),
        ([DeploymentMethod.APPTAINER], {}),
        ([DeploymentMethod.APPTAINER, DeploymentMethod.ENV_MODULES], {}),
    ],
)
def test_without_an_environment_of_their_own_jobs_run_in_snakemakes(methods, compute):
    assert Path(python_of(deployment(*methods, **compute).shell_prefix())).parent == Path(sys.executable).parent


@pytest.mark.parametrize(
    ("methods", "compute"),
    [
        ([DeploymentMethod.CONDA], {}),
        ([DeploymentMethod.APPTAINER], {"container": "image.sif"}),
        ([DeploymentMethod.CONDA, DeploymentMethod.APPTAINER], {"container": "image.sif"}),
    ],
)
def test_an_environment_of_their_own_is_not_hidden_by_snakemakes(methods, compute, monkeypatch):
    for name in BIND:
        monkeypatch.setenv(name, "/given")
    assert python_of(deployment(*methods, **compute).shell_prefix()) == ""
    binds = {tuple(os.environ[name].split(",")) for name in BIND}
    assert binds == {
        ("/given", str(REPOSITORY), str(REPOSITORY / "xmodbench")) if "container" in compute else ("/given",)
    }


def test_a_run_on_the_cpu_gets_an_environment_without_cuda():
    for device, name in {"cpu": "xmodbench-cpu.yaml", "cuda": "xmodbench.yaml", "auto": "xmodbench.yaml"}.items():
        environment = REPOSITORY / "workflow" / "rules" / deployment(device=device).environment
        assert environment.resolve() == REPOSITORY / "workflow" / "envs" / name and environment.is_file()
    rules = [file.read_text() for file in (REPOSITORY / "workflow" / "rules").glob("*.smk")]
    assert all("conda:" in text and "../envs" not in text for text in rules)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """One with this environment's packages, but no Snakemake, under its own Python."""
    prefix = tmp_path_factory.mktemp("deployed") / "environment"
    stand_in_conda.create({"python": f"={sys.version_info[0]}.{sys.version_info[1]}"}, prefix, borrow=True)
    return prefix


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """Stand-ins for conda and apptainer; no other Python on the path."""
    tools = stand_in_conda.install(tmp_path / "tools", borrow=True)
    for name in ("apptainer", "singularity"):
        (tools / name).write_text(APPTAINER)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{BARE}")
    return tools


def test_what_is_no_job_runs_in_the_environment_of_one(environment, tools, tmp_path):
    report = SimpleNamespace(
        rule=SimpleNamespace(name="report"),
        conda_env=SimpleNamespace(address=str(environment)),
        container_img_path=str(environment),
    )
    said = tmp_path / "said"
    command = f"python -c 'import sys, yaml; print(sys.prefix)' > {said}"
    ways = [
        ([DeploymentMethod.CONDA], {}, environment),
        ([DeploymentMethod.APPTAINER], {"container": str(environment)}, environment),
        ([DeploymentMethod.ENV_MODULES], {}, Path(sys.prefix)),
        ([], {}, Path(sys.prefix)),
    ]
    for methods, compute, expected in ways:
        deployed = deployment(*methods, jobs=[report], **compute)
        shell.prefix(deployed.shell_prefix())
        try:
            assert deployed.runs_as("report", shell, command)
        finally:
            shell.prefix("")
        assert Path(said.read_text().strip()) == expected
    assert not deployment(jobs=[report]).runs_as("report", shell, "false")


def test_an_environment_that_was_never_made_is_no_reason_to_fail(tools, tmp_path):
    missing = SimpleNamespace(
        rule=SimpleNamespace(name="report"), conda_env=SimpleNamespace(address=str(tmp_path / "no"))
    )
    for jobs in ([], [missing]):
        assert not deployment(DeploymentMethod.CONDA, jobs=jobs).runs_as("report", shell, "true")


def start(work: Work, tools: Path, *options: str) -> subprocess.CompletedProcess:
    """`snakemake`, with the stand-ins and no other Python on the path."""
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--configfile", str(work.config)]
    environment = {**ENVIRONMENT, "PATH": f"{tools}:{BARE}"}
    return subprocess.run(
        [*command, "--cores", "2", *options],
        cwd=work.folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("method", ["conda", "apptainer"])
def test_jobs_run_in_what_is_deployed(fresh, tools, environment, method):
    fresh.write_config(compute={"device": "cpu", "threads": 1, "container": str(environment)})
    done = start(fresh, tools, "data/heads/acquire.record.json", "--sdm", method)
    assert done.returncode == 0, done.stderr
    assert (fresh.folder / "data/heads/acquire.record.json").is_file()
    said = {"conda": "Using pinnings from", "apptainer": "Activating singularity image"}
    assert said[method] in done.stderr
    assert "Report:" not in done.stderr  # there is none


@pytest.mark.slow
@pytest.mark.parametrize("method", ["conda", "apptainer", "env-modules"])
def test_a_run_that_fails_reports_what_there_is(fresh, tools, environment, method):
    write_method(fresh.folder, "failing", FAILING)
    compute = {"device": "cpu", "threads": 1, "container": str(environment)}
    fresh.write_config(methods={"failing": {}, "copy_source": {}}, compute=compute)
    done = start(fresh, tools, "--sdm", method)
    assert done.returncode == 1
    assert "partial/report.html" in done.stderr and "Report:" not in done.stderr
    assert (fresh.results / "partial" / "report.html").is_file()
    write_method(fresh.folder, "failing", FAILING.replace('raise RuntimeError("loss is <b>nan</b>")', "pass"))
    lines = done.stderr.splitlines()
    again = lines[lines.index("To continue, once the cause is mended:") + 1]
    continued = subprocess.run(
        ["/bin/sh", "-c", again], cwd=fresh.folder, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert continued.returncode == 0, continued.stderr
    assert "Report: results/tiny/report.html" in continued.stderr


LOCKED = REPOSITORY / "config" / "smoke.yaml"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def of_snakemake() -> list[Pin]:
    """What an environment of Snakemake alone holds."""
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    return [pin for pin in lock.needed_by(["snakemake"]) if pin.holds(PYTHON)]


def test_a_snakemake_that_is_alone_in_its_environment_plans_every_method(tmp_path):
    """As `--use-conda` may be started from; the packages are links to those of this environment."""
    plain = tmp_path / "plain"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", plain], check=True)
    (place,) = plain.glob("lib/python*/site-packages")
    for pin in of_snakemake():
        package = distribution(pin.name)
        for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (place / name).exists():
                (place / name).symlink_to(package.locate_file(name))
    environment = {**os.environ, "PATH": BARE}
    environment.pop("PYTHONPATH", None)
    command = [plain / "bin/python", "-m", "snakemake", "-s", REPOSITORY / "Snakefile", "--configfile", LOCKED, "-n"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert not (place / "numpy").exists() and "rule translate_part:" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_smoke_matrix_in_the_locked_environment_from_a_plain_snakemake(tmp_path):
    """uv installs what conda and pip would, from the package index or its cache: the lock's files, by their hashes."""
    uv = Path(sys.executable).with_name("uv")
    plain = tmp_path / "plain"
    (tmp_path / "snakemake.txt").write_text("\n".join(pin.requirement() for pin in of_snakemake()))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, plain], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", plain / "bin/python", "--no-deps", "--require-hashes"]
    subprocess.run([*install, "-r", tmp_path / "snakemake.txt"], check=True)

    tools = stand_in_conda.install(tmp_path / "tools", borrow=False)
    environment = {**os.environ, "PATH": f"{tools}:{BARE}"}
    environment.pop("PYTHONPATH", None)
    command = [
        plain / "bin/snakemake",
        "-s",
        REPOSITORY / "Snakefile",
        "--configfile",
        LOCKED,
        "--cores",
        "2",
        "--use-conda",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Failed to install conda environment from pin file" not in done.stderr
    assert (tmp_path / "results/smoke/report.html").is_file()
    (made,) = [path for path in (tmp_path / ".snakemake/conda").iterdir() if path.is_dir()]
    assert not list(made.glob("lib/python*/site-packages/snakemake"))
