"""Building a method's own environment, once: by uv from a requirements file, by conda from a YAML."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from xmodbench.commands import documentation
from xmodbench.data.download.disk import disk_errors, exclusive
from xmodbench.errors import UserError
from xmodbench.files import write_json
from xmodbench.plugins.discovery import Location
from xmodbench.plugins.environment import BUILT, OwnEnvironment, environment_of
from xmodbench.progress import Progress

CAUSE = re.compile(r"(caused by|cause): |because ", re.IGNORECASE)
CONDAS = ("mamba", "conda", "micromamba")
VERSION = "import sys; print(sys.version.split()[0])"


def ready(location: Location, progress: Progress) -> OwnEnvironment | None:
    """The environment that a plugin's jobs run in, which is built now where it is not there; None for most plugins.

    Raises:
        UserError: it cannot be built.
    """
    wanted = environment_of(location)
    if wanted is None or wanted.is_built:
        return wanted
    builder = builder_of(wanted)
    with disk_errors(wanted.folder):
        wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(wanted.folder.with_suffix(".lock"), wait=True):
        if not wanted.is_built:
            progress.say(f"building the environment of {wanted.plugin} from {wanted.file.name}, once")
            shutil.rmtree(wanted.folder, ignore_errors=True)  # what a killed process left
            try:
                _build(wanted, builder)
            except BaseException:
                shutil.rmtree(wanted.folder, ignore_errors=True)
                raise
    return wanted


def builder_of(wanted: OwnEnvironment) -> str:
    """The program that builds an environment.

    Raises:
        UserError: it is not found.
    """
    found = builder(wanted.by_conda)
    if found is None:
        what, how = ("conda", "https://conda-forge.org/download") if wanted.by_conda else ("uv", "pip install uv")
        problem = f"its environment ({wanted.file.name}) has to be built, and there is no {what}"
        raise UserError(problem, f"method '{wanted.plugin}'", f"install it: {how}")
    return found


def builder(by_conda: bool) -> str | None:
    """uv, or a conda; None where there is none."""
    if by_conda:
        return next((found for name in CONDAS if (found := shutil.which(name))), None)
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.is_file() else None)


def _build(wanted: OwnEnvironment, builder: str) -> None:
    """Fill the folder; a note of what is in it comes last. In its own place: conda's cannot be moved.

    Nothing of what is installed is run, here and until a job has entered its wall: whoever wrote the file wrote the method.
    """
    folder, file = str(wanted.folder), str(wanted.file)
    if wanted.by_conda:
        create = [] if Path(builder).name == "micromamba" else ["env"]
        _call(wanted, [builder, *create, "create", "--yes", "--quiet", "--prefix", folder, "--file", file])
        interpreter, base = wanted.python, wanted.folder
        version = _call(wanted, [str(interpreter), "-I", "-S", "-c", VERSION]).stdout.strip()
        if tuple(map(int, version.split(".")[:2])) < (3, 11):
            fix = f"see {documentation('environments.md')}"
            raise UserError(f"its environment has Python {version}, and jobs need 3.11 or later", wanted.file, fix)
    else:
        _call(wanted, [builder, "venv", "--quiet", "--python", sys.executable, folder])
        install = [builder, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(wanted.python)]
        _call(wanted, [*install, "--requirement", file])
        # not the link in the folder, which what was installed could have replaced
        interpreter, base, version = Path(sys.executable).resolve(), Path(sys.base_prefix), platform.python_version()
    site = [str(path) for path in sorted(wanted.folder.glob("lib/python3*/site-packages"))]
    packages = {dist.name: dist.version for dist in distributions(path=site)}
    found = {"python": version, "interpreter": str(interpreter), "base": str(base), "site": site}
    write_json(
        wanted.folder / BUILT, {**found, "packages": dict(sorted(packages.items())), "builder": Path(builder).name}
    )


def _call(wanted: OwnEnvironment, command: list[str]) -> subprocess.CompletedProcess:
    """Run a command beside the file, so that paths in it mean what they say."""
    left = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(command, cwd=wanted.file.parent, env=left, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        fix = f"see what {Path(command[0]).name} said above, and {documentation('environments.md')}"
        raise UserError(f"its environment could not be built: {_reason(done.stderr or done.stdout)}", wanted.file, fix)
    return done


def _reason(said: str) -> str:
    """Of what a program said, the lines that name the cause: its error, and the first and the last thing behind that."""
    lines = [re.sub(r"^[\s│├╰─▶×]+", "", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if re.search(r"\b(error|failed|no solution|not found)\b", line, re.IGNORECASE)]
    first = next(iter(errors), lines[-1] if lines else "it said nothing")
    causes = [re.sub(r"^(caused by|cause): ", "", line, flags=re.IGNORECASE) for line in lines if CAUSE.match(line)]
    behind = "; ".join(dict.fromkeys([*causes[:1], *causes[-1:]]))
    return re.sub(r"^error: ", "", f"{first} ({behind})" if behind else first)[:400]
