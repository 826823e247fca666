"""Python, packages, torch and the programs that some of it calls."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from xmodbench import __version__
from xmodbench.files import IS_CHECKOUT, REPOSITORY, SHIPPED
from xmodbench.plan.plan import Plan
from xmodbench.stages.doctor.fact import Fact, lacking

GROUP = "software"
PYTHONS = ((3, 11), (3, 12))
INSTALL = "make setup" if (REPOSITORY / "Makefile").is_file() else "pip install --upgrade xmodbench"


def of_software(plan: Plan | None) -> Iterator[Fact]:
    """Facts about what is installed."""
    right = sys.version_info[:2] in PYTHONS
    fix = "" if right else "install Python 3.11 or 3.12, then `make setup PYTHON=python3.11`"
    yield Fact(GROUP, "Python", "ok" if right else "missing", f"{platform.python_version()} ({sys.executable})", fix)
    yield Fact(GROUP, "xmodbench", "ok", f"{__version__} ({'checkout' if IS_CHECKOUT else 'installed'}, {SHIPPED})")
    yield _packages()
    yield _package("snakemake", "Snakemake")
    yield _torch()
    conda = next((found for name in ("mamba", "conda", "micromamba") if (found := shutil.which(name))), None)
    fix = "" if conda else "only --use-conda needs it: https://conda-forge.org/download"
    yield Fact(GROUP, "conda", "ok" if conda else "optional", conda or "none", fix)
    yield _compiler(plan)


def _package(name: str, title: str) -> Fact:
    try:
        return Fact(GROUP, title, "ok", version(name))
    except PackageNotFoundError:
        return Fact(GROUP, title, "missing", "not installed", INSTALL)


def _packages() -> Fact:
    """Whether all that this package requires is installed; not whether every version fits, which installers see to."""
    try:
        required = distribution("xmodbench").requires or []
    except PackageNotFoundError:
        return Fact(GROUP, "packages", "optional", "xmodbench is not installed, only imported", INSTALL)
    names = [re.split(r"[^\w.-]", text)[0] for text in required if "extra ==" not in text]
    absent = [name for name in names if not _installed(name)]
    if absent:
        return Fact(GROUP, "packages", "missing", f"not installed: {', '.join(absent)}", INSTALL)
    return Fact(GROUP, "packages", "ok", f"all {len(names)} that are required")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def cuda_of_torch() -> str | None:
    """The CUDA that torch was built for, from its files: importing it takes seconds. None: none, or no torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=]*= *'([\d.]+)'", text, re.MULTILINE)
    return found[1] if found else None


def _torch() -> Fact:
    fact = _package("torch", "torch")
    if fact.state != "ok":
        return fact
    cuda = cuda_of_torch()
    return Fact(GROUP, "torch", "ok", f"{fact.fact}, for CUDA {cuda}" if cuda else f"{fact.fact}, for CPUs alone")


def _compiler(plan: Plan | None) -> Fact:
    """torch.compile calls one, and so does nothing else."""
    needed = plan is not None and any(
        getattr(settings, "compile", False) for method in plan.methods.values() for settings in method.settings.values()
    )
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found:
        return Fact(GROUP, "C++ compiler", "ok", found)
    return Fact(GROUP, "C++ compiler", lacking(needed), "none", "only `compile: true` needs it: apt install g++")
