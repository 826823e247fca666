"""The built package, installed into a new environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from xmodbench.files import REPOSITORY


def built(kind: str, source: Path, out: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)], cwd=source, check=True)
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


class Installed:
    """The environment with the wheel, and commands in a folder of its user.

    It borrows the installed dependencies of the environment that runs the tests; of xmodbench it has the wheel alone, which
    is built from the sdist, as an index would serve it.
    """

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
