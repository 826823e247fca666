"""Start Snakemake for a config, also after a run that was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from xmodbench.commands import TYPED, pasteable
from xmodbench.files import SHIPPED


def snakefile() -> Path:
    """The workflow: the working directory's, or the one this package ships."""
    local = Path("Snakefile")
    return local if local.is_file() else SHIPPED / local


def run_snakemake(config: Path, overrides: dict[str, Any], cores: str, extra: list[str]) -> int:
    """Run the workflow and return its exit code.

    A killed Snakemake leaves its lock and half-written outputs behind: the lock is removed here when no other Snakemake
    works in this directory, and the default profile's ``rerun-incomplete`` sees to the rest.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    given = ["--configfile", str(config)]
    if overrides:
        given += ["--config", *(f"{key}={json.dumps(value)}" for key, value in overrides.items())]
    folder = _working_directory(extra)
    if _locked(folder) and not _another_runs(folder):
        subprocess.run([*command, "--directory", str(folder), "--unlock", "--quiet", *given], check=False)
    # `--cores` after `given`: those options take any number of values and would swallow targets among `extra`
    variables = {**os.environ, TYPED: pasteable(sys.argv)}
    return subprocess.run([*command, *given, "--cores", cores, *extra], check=False, env=variables).returncode


def _working_directory(extra: list[str]) -> Path:
    """Where Snakemake is to work: here, unless its options say otherwise."""
    for word, following in zip(extra, [*extra[1:], ""], strict=False):
        if word in ("--directory", "-d"):
            return Path(following)
        if word.startswith("--directory="):
            return Path(word.partition("=")[2])
    return Path()


def _locked(folder: Path) -> bool:
    locks = folder / ".snakemake" / "locks"
    return locks.is_dir() and any(locks.iterdir())


def _another_runs(folder: Path) -> bool:
    """Whether another Snakemake process has this folder as its working directory (Linux; elsewhere: assume so)."""
    proc = Path("/proc")
    if not proc.is_dir():
        return True
    here = folder.resolve()
    for process in proc.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            named = any(Path(os.fsdecode(word)).name == "snakemake" for word in words)
            if named and (process / "cwd").resolve() == here:
                return True
        except OSError:
            continue
    return False
