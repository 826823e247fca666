"""Conda environments with exactly the versions of requirements.lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<rest>[^\\]+?)\s*\\?$")
_VIA = re.compile(r"^    #(?: via)?\s+(?P<parent>[A-Za-z0-9._-]+)")


def environment_files(repository: Path) -> dict[Path, str]:
    """``environment.yml`` for people, ``workflow/envs/xmodbench.yaml`` for ``snakemake --use-conda``."""
    pins, parents = read_lock((repository / "requirements.lock").read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    keep = runtime_packages([_bare(item) for item in project["dependencies"]], pins, parents)
    runtime = [pins[name] for name in sorted(keep)]
    return {
        repository / "environment.yml": _render("xmodbench", [*pins.values(), "-e ."]),
        repository / "workflow/envs/xmodbench.yaml": _render(None, runtime),
    }


def read_lock(text: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Pins by package (``name==version ; marker``) and, by package, who asked for it (uv's ``# via`` lines)."""
    pins: dict[str, str] = {}
    parents: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if pin := _PIN.match(line):
            name = _bare(pin["name"])
            previous = f" {pins[name]}" if name in pins else ""
            # one package may be pinned twice, for different Python versions: the marker tells them apart
            key = f"{name} " if previous else name
            pins[key] = f"{pin['name']}=={pin['rest'].strip()}"
            parents.setdefault(name, set())
        elif (via := _VIA.match(line)) and name:
            parents[name].add(_bare(via["parent"]))
    return pins, parents


def runtime_packages(direct: list[str], pins: dict[str, str], parents: dict[str, set[str]]) -> set[str]:
    """Keys of ``pins`` that the dependencies ``direct`` need, themselves included: no test or lint tools."""
    keep, grown = {name for name in direct if name in parents}, True
    while grown:
        more = {name for name, asked_by in parents.items() if asked_by & keep} - keep
        keep, grown = keep | more, bool(more)
    return {key for key in pins if key.strip() in keep}


def _bare(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower().replace("_", "-")


def _render(name: str | None, pins: list[str]) -> str:
    head = ["# Written by `xmodbench generate` from requirements.lock; do not edit."]
    head += [f"name: {name}"] if name else []
    head += [
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
    ]
    return "\n".join([*head, *(f'      - "{pin}"' for pin in pins)]) + "\n"
