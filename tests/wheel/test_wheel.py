"""The built package, installed into a new environment and used from a folder that holds no repository.

The new environment borrows the installed dependencies of the one that runs the tests; of xmodbench it has the wheel alone,
which is built from the sdist, as an index would serve it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.plugins import GRADIENT, write_method
from xmodbench import __version__
from xmodbench.files import REPOSITORY

TINY = {
    "run": "mine",
    "datasets": {
        "sim_ixi": {
            "directions": ["pd->t1"],
            "settings": {"n_subjects": 3, "scale": 3, "image_size": 32, "slices": {"count": 3}, "split": {"n_test": 1}},
        }
    },
    "methods": {"gradient": {}, "mean_image": {}, "oracle": {}},
    "compute": {"device": "cpu", "threads": 1},
    "scoring": {"bootstrap": 100},
}


def built(kind: str, source: Path, out: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)], cwd=source, check=True)
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


class Installed:
    """The environment with the wheel, and commands in a folder of its user."""

    def __init__(self, root: Path):
        sdist = built("sdist", REPOSITORY, root / "sdist")
        with tarfile.open(sdist) as archive:
            archive.extractall(root / "source", filter="data")
        (unpacked,) = (root / "source").iterdir()
        wheel = built("wheel", unpacked, root / "wheel")
        self.bin, self.user = root / "venv" / "bin", root / "user"
        self.user.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)], check=True)
        (packages,) = (root / "venv" / "lib").glob("python*/site-packages")
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, command: str, *words: object, cwd: Path | None = None) -> str:
        """What a command of the environment printed; it must have succeeded."""
        hidden = ("PYTHONPATH", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        variables["PATH"] = f"{self.bin}{os.pathsep}{variables['PATH']}"
        done = subprocess.run(
            [str(self.bin / command), *map(str, words)],
            cwd=cwd or self.user,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


def test_it_is_the_wheel_that_answers(installed):
    assert installed.run("xmodbench", "--version").strip() == __version__
    place = Path(installed.run("xmodbench", "where").strip())
    assert place.is_relative_to(installed.bin.parent)
    for name in ("Snakefile", "workflow/rules/methods.smk", "profiles/slurm/profile.yaml", "config/smoke.yaml"):
        assert (place / name).is_file(), name
    assert os.access(place / "profiles" / "generic" / "status.py", os.X_OK)  # Snakemake starts it
    assert (place.parent / "py.typed").is_file()  # or type checkers would pass over its annotations


def test_methods_and_data_sets_come_along(installed):
    said = installed.run("xmodbench", "plugins")
    own = {path.parent.name for path in (REPOSITORY / "methods").glob("*/method.py")}
    own |= {path.parent.name for path in (REPOSITORY / "data_prep").glob("*/dataset.py")}
    assert own <= set(said.split())
    assert installed.run("xmodbench", "check", "mean_image").count("ok  ") >= 5


def test_a_shipped_config_is_known_by_its_name(installed):
    assert "run 'smoke'" in installed.run("xmodbench", "check", "smoke")
    assert "report" in installed.run("xmodbench", "run", "smoke", "--dry-run", "--quiet", "host")


def test_a_run_of_ones_own_with_a_plugin_of_ones_own(installed):
    write_method(installed.user, "gradient", GRADIENT)
    (installed.user / "my.yaml").write_text(yaml.safe_dump(TINY))
    installed.run("xmodbench", "run", "my.yaml", "--cores", "2")
    results = installed.user / "results" / "mine"
    assert (results / "report.html").is_file()
    rows = json.loads((results / "table.json").read_text())
    assert "gradient" in json.dumps(rows)
    record = json.loads((results / "models/gradient/sim_ixi/t1/record.json").read_text())
    assert record["versions"]["xmodbench"] == __version__


def test_snakemake_alone_finds_workflow_profile_and_default_config(installed, tmp_path):
    place = installed.run("xmodbench", "where").strip()
    options = ["-s", f"{place}/Snakefile", "--directory", tmp_path, "-n", "--cores", 1]
    said = installed.run("python", "-m", "snakemake", *options, cwd=tmp_path)
    assert "config/paper.yaml" in said and "profiles/default" in said
    assert "goldatlas" in said
