"""The container image: what its Dockerfile asks for is there, and is what the lock says. Builds are tried by hand."""

import os
import re
import subprocess
import sys
import tomllib

import pytest

from xmodbench.files import REPOSITORY
from xmodbench.generate.image import image_packages
from xmodbench.generate.lock import Lock, bare

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def names(variant: str) -> set[str]:
    return {bare(line) for line in image_packages(variant)}


def test_an_image_holds_snakemake_and_the_locks_packages_by_their_hashes():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    direct = {bare(item) for item in project["dependencies"]}
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    assert direct <= names("cuda")
    assert not {"pytest", "ruff", "mypy", "selenium"} & names("cuda")
    pins = {pin.requirement() for pin in lock.pins}
    assert set(image_packages("cuda")) <= pins and all("--hash=sha256:" in line for line in image_packages("cuda"))


def test_an_image_without_cuda_has_none_of_it():
    assert direct_of("torch") == {"torch", "torchvision"}
    assert names("cpu") | {"torch", "torchvision"} < names("cuda")
    assert not [name for name in names("cpu") if name.startswith(("nvidia", "cuda", "triton"))]
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    assert f"torch=={lock.version('torch')}" in image_packages("torch")


def direct_of(variant: str) -> set[str]:
    return {line.partition("==")[0] for line in image_packages(variant)}


def test_plugins_for_machines_without_a_shared_disk_are_asked_for():
    assert direct_of("plugins") == {
        "snakemake-executor-plugin-kubernetes>=0.5",
        "snakemake-storage-plugin-fs>=1.1",
        "snakemake-storage-plugin-s3>=0.3",
    }


def test_the_dockerfile_finds_what_it_copies():
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (REPOSITORY / source).exists(), source
            assert source == "." or source.split("/")[0] in allowed, source
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["only-include"], "Snakefile", "hatch_build.py", "README.md", "LICENSE"} <= allowed


def test_the_first_layer_needs_no_other_file_of_the_package(tmp_path):
    """It is built of a few files, so that an edit of any other does not install all packages anew."""
    copied = re.findall(r"^COPY ((?:xmodbench/|requirements).*) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(copied) == 3
    for sources, target in copied:
        for source in sources.split():
            place = tmp_path / target / ("" if (REPOSITORY / source).is_dir() else os.path.basename(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", "-T", REPOSITORY / source, place], check=True)
    command = [sys.executable, "-m", "xmodbench.generate.image", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == image_packages("cpu")
    needed = set(re.findall(r"pip install --no-cache-dir (.+?) \\", DOCKERFILE)[0].split())
    assert "packaging" in needed  # the only package that these files import


@pytest.mark.parametrize(
    "words", ["USER xmodbench", 'HEALTHCHECK --interval=5m --timeout=60s CMD ["xmodbench", "doctor"]']
)
def test_an_image_runs_as_nobody_special_and_says_whether_it_is_well(words):
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert f"\n{words}\n" in last_stage
