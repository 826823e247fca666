"""A conda that solves nothing: enough of its commands for Snakemake's `--use-conda` to make and enter an environment.

An environment is a venv, whose pip is handed what a real environment's pip would be handed. It either checks that against
the packages of the tests' environment and borrows those, or has uv install it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import yaml

from xmodbench.files import REPOSITORY
from xmodbench.generate.lock import Lock

OF_CONDA = {"python", "pip", "pytorch-cpu", "torchvision"}
"""Packages that it pretends to have."""

NO_SNAKEMAKE = """
import sys

class NoSnakemake:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].partition("_")[0] == "snakemake":
            raise ModuleNotFoundError(f"{name} is no part of this environment")

sys.meta_path.insert(0, NoSnakemake())
"""

BORROWING_PIP = """
import re, sys
from importlib.metadata import version

options = sys.argv[1:]
assert {"install", "--no-deps", "--require-hashes"} <= set(options), options
for line in open(options[options.index("--requirement") + 1]):
    requirement, *hashes = line.split()
    name, pinned = re.fullmatch(r"([\\w.-]+)==([\\w.+-]+)", requirement).groups()
    assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes), line
    assert version(name) == pinned, f"{name} {version(name)}, not {pinned}"
"""

INSTALLING_PIP = """
import os, sys

options = sys.argv[sys.argv.index("install") + 1:]
options = [option for option in options if option != "--no-input"]
os.execv({uv!r}, [{uv!r}, "pip", "install", "--python", sys.executable, *options])
"""


def install(folder: Path, *, borrow: bool) -> Path:
    """Put the stand-in into a folder; returns its ``bin``, for the front of ``PATH``."""
    bin_dir = folder / "bin"
    bin_dir.mkdir(parents=True)
    how = "borrow" if borrow else "install"
    conda = bin_dir / "conda"
    conda.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m {__name__} "{folder}" {how} "$@"\n'
    )
    conda.chmod(0o755)
    (bin_dir / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    return bin_dir


def main(folder: str, how: str, *words: str) -> int:
    """What the command ``conda`` does here."""
    given = " ".join(words)
    if given == "info --json":
        print(f'{{"conda_prefix": "{folder}", "platform": "linux-64"}}')
    elif given == "--version":
        print("conda 25.9.1")
    elif given == "config --get channel_priority --json":
        print('{"get": {"channel_priority": "strict"}}')
    elif "create" in words:
        file, prefix = (Path(words[words.index(option) + 1]) for option in ("--file", "--prefix"))
        create(_packages(file), prefix, borrow=how == "borrow")
    elif words[0] != "clean":
        print(f"the stand-in for conda knows no `conda {given}`", file=sys.stderr)
        return 1
    return 0


def _packages(file: Path) -> dict[str, str]:
    """Specifications of an environment file or of a file of pins, by package."""
    text = file.read_text()
    lines = yaml.safe_load(text)["dependencies"] if file.suffix == ".yaml" else text.splitlines()
    found = [re.match(r"([\w-]+)\s*(.*)", line) for line in lines if not line.startswith("#")]
    packages = {item[1]: item[2] for item in found if item}
    if unknown := packages.keys() - OF_CONDA:
        raise SystemExit(f"PackagesNotFoundError: {', '.join(sorted(unknown))}")
    return packages


def create(packages: dict[str, str], prefix: Path, *, borrow: bool) -> None:
    """Make an environment."""
    version = packages["python"].lstrip("=")
    assert version == ".".join(map(str, sys.version_info[:2])), version
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    (place,) = prefix.glob("lib/python*/site-packages")
    (place / "sitecustomize.py").write_text(NO_SNAKEMAKE)
    (place / "pip").mkdir()
    (place / "pip" / "__init__.py").touch()
    uv = str(Path(sys.executable).with_name("uv"))
    (place / "pip" / "__main__.py").write_text(
        textwrap.dedent(BORROWING_PIP if borrow else INSTALLING_PIP.format(uv=uv))
    )
    if borrow:
        (place / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    elif "pytorch-cpu" in packages:
        lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
        torch = [f"{pin.name}=={pin.version}" for pin in lock.needed_by(["torch", "torchvision"]) if pin.holds(version)]
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", f"{prefix}/bin/python", "--no-deps", *torch], check=True
        )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
