"""Environments with exactly the versions and hashes of requirements.lock.

Conda gives Python, and PyTorch where no CUDA is wanted; pip gives the rest, in a script that Snakemake runs once conda is
done (a file of pinned conda packages cannot name what pip installs). What only Snakemake needs is left out: it runs outside.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from xmodbench.generate.lock import Lock, Pin, bare

PYTHON = "3.11"
HEAD = "# Written by `xmodbench generate` from requirements.lock; do not edit."
WORKFLOW_ALONE = ("snakemake",)
"""Direct dependencies that only Snakemake's own process imports."""
OF_CONDA = ("torch", "torchvision")
"""What conda gives in an environment without CUDA: PyPI's wheels for Linux bring 5 GB of it along."""


def environment_files(repository: Path) -> dict[Path, str]:
    """``environment.yml`` for people, ``workflow/envs`` for ``snakemake --use-conda``, ``pixi.toml`` for pixi."""
    lock = Lock.read((repository / "requirements.lock").read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    direct = {bare(item): item for item in project["dependencies"]}
    jobs = here(lock.needed_by([*direct], without=WORKFLOW_ALONE))
    without_torch = here(lock.needed_by([*direct], without=(*WORKFLOW_ALONE, *OF_CONDA)))
    ranges = [f"{conda_name(name)} {_range(direct[name])}" for name in OF_CONDA]
    pinned = [f"{conda_name(name)}={lock.version(name)}" for name in OF_CONDA]
    envs = repository / "workflow" / "envs"
    return {
        repository / "environment.yml": conda(["pip", {"pip": ["-r requirements.lock"]}], name="xmodbench"),
        repository / "pixi.toml": pixi(here(lock.needed_by([*direct])), direct),
        envs / "xmodbench.yaml": conda(["pip"]),
        envs / "xmodbench.post-deploy.sh": post_deploy(jobs),
        envs / "xmodbench-cpu.yaml": conda(["pip", *ranges]),
        envs / "xmodbench-cpu.linux-64.pin.txt": "\n".join([HEAD, f"python={PYTHON}", "pip", *pinned, ""]),
        envs / "xmodbench-cpu.post-deploy.sh": post_deploy(without_torch),
    }


def here(pins: list[Pin]) -> list[Pin]:
    """Those for Linux on x86-64 and the environments' Python."""
    return [pin for pin in pins if pin.holds(PYTHON)]


def conda(packages: list[str | dict[str, list[str]]], name: str | None = None) -> str:
    """An environment file of Python and these packages."""
    lines = [
        HEAD,
        *([f"name: {name}"] if name else []),
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
    ]
    lines.append(f"  - python={PYTHON}")
    for package in packages:
        if isinstance(package, dict):
            lines += [f"  - {key}:" for key in package] + [
                f"      - {item}" for items in package.values() for item in items
            ]
        else:
            lines.append(f"  - {package}")
    return "\n".join(lines) + "\n"


def post_deploy(pins: list[Pin]) -> str:
    """The script that Snakemake runs in an environment once conda has made it."""
    lines = ["#!/bin/bash", HEAD, "set -euo pipefail"]
    lines += ["python -m pip install --quiet --no-input --no-deps --require-hashes --requirement /dev/stdin <<'LOCKED'"]
    return "\n".join([*lines, *(pin.requirement() for pin in pins), "LOCKED", ""])


def pixi(pins: list[Pin], direct: dict[str, str]) -> str:
    """A manifest with two environments: ``default`` with PyPI's PyTorch (CUDA), ``cpu`` with conda's."""
    exact = {pin.name: f'{pin.name} = "=={pin.version}"' for pin in pins if pin.name in direct}
    lines = [HEAD, "[workspace]", 'name = "xmodbench"', 'channels = ["conda-forge"]', 'platforms = ["linux-64"]', ""]
    lines += ["[dependencies]", f'python = "{PYTHON}.*"', ""]
    lines += ["[pypi-dependencies]", 'xmodbench = { path = ".", editable = true }']
    lines += [line for name, line in exact.items() if name not in OF_CONDA]
    lines += ["", "[feature.cuda.pypi-dependencies]", *(exact[name] for name in OF_CONDA)]
    lines += ["", "[feature.cpu.dependencies]"]
    lines += [f"{conda_name(name)} = {json.dumps(_range(direct[name]))}" for name in OF_CONDA]
    lines += ["", "[environments]", 'default = ["cuda"]', 'cpu = ["cpu"]']
    return "\n".join(lines) + "\n"


def conda_name(package: str) -> str:
    """conda-forge's name for the build without CUDA, where it is another than PyPI's."""
    return {"torch": "pytorch-cpu"}.get(package, package)


def _range(requirement: str) -> str:
    found = re.search(r"[<>=!~].*", requirement)
    return found[0] if found else "*"
