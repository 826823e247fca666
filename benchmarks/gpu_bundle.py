"""What a bare GPU machine lacks, in a folder to be carried there: wheels, and small slice stores of simulated heads.

    python benchmarks/gpu_bundle.py [--out build/gpu] [--python 3.11 3.12]

The machine is taken to have torch, triton, accelerate, numba, scikit-image and torchmetrics with all that these need, and
nothing else; wheels are those of the lock, for Linux on x86-64. ``wheels/any`` suits every Python, ``wheels/cp312`` that
version: only the machine's own needs to go there. ``data/sim_ixi_128`` and ``_64`` hold the same few heads, which must never
pose as real ones. What is there already is kept.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY, write_text

NEEDED = (
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"),  # settings
    *("typer", "annotated-doc", "shellingham", "rich", "markdown-it-py", "mdurl", "pygments"),  # the verbs
    *("diffusers", "importlib-metadata", "zipp", "requests", "charset-normalizer", "urllib3", "certifi"),  # networks
    *("pandas", "python-dateutil", "tenacity"),  # scores; tenacity stands in the way of prepared data
    *("matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver", "pyparsing"),  # a model's curve of losses
    *("pytest", "pytest-xdist", "execnet", "iniconfig", "pluggy"),
)
PURE = frozenset({"fonttools"})  # there is a wheel for each Python too, four times as large
PLATFORMS = ("2_28", "2_27", "2_24", "2_17", "2014", "2_5", "1")  # pip takes no older one for granted
LIMIT_MIB = 64
SUBJECTS = {"n_subjects": 8, "scale": 2.0, "slices": {"count": 7, "height_range": [0.4, 0.8]}, "split": {"n_test": 2}}
SIZES = (128, 64)


def locked(names: tuple[str, ...], lock: str, python: str) -> list[str]:
    """``name==version`` for each name, as the text of a lock has it for a Python on Linux.

    Raises:
        UserError: the lock does not hold one version of it.
    """
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found = []
    for name in names:
        lines = re.findall(rf"^{re.escape(name)}==[^\\\n]+", lock, re.MULTILINE)
        suiting = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(machine)]
        if len(suiting) != 1:
            raise UserError(f"{len(suiting)} versions of '{name}'", "requirements.lock", "name it as the lock does")
        found.append(f"{name}{suiting[0].specifier}")
    return found


def download(wanted: list[str], python: str, folder: Path) -> None:
    """Fetch wheels for a Python on Linux into ``any`` and ``cp3xx`` of a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", temporary]
        pip += ["--python-version", python, "--implementation", "cp"]
        pure = [one for one in wanted if one.split("==")[0] in PURE]
        platforms = [word for name in PLATFORMS for word in ("--platform", f"manylinux{_tag(name)}_x86_64")]
        subprocess.run([*pip, *platforms, *(one for one in wanted if one not in pure)], check=True)
        if pure:
            subprocess.run([*pip, "--platform", "any", "--abi", "none", *pure], check=True)
        for wheel in Path(temporary).glob("*.whl"):
            place = folder / ("any" if wheel.stem.endswith("-any") else f"cp{python.replace('.', '')}")
            place.mkdir(parents=True, exist_ok=True)
            (place / wheel.name).write_bytes(wheel.read_bytes())


def _tag(name: str) -> str:
    return f"_{name}" if "_" in name else name


def wheels(out: Path, pythons: list[str]) -> None:
    """Make the folder of wheels, unless it holds what the lock says now."""
    lock, folder = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8"), out / "wheels"
    wanted = {python: locked(NEEDED, lock, python) for python in pythons}
    text = json.dumps(wanted, indent=2)
    if (folder / "wanted.json").is_file() and (folder / "wanted.json").read_text() == text:
        return
    for old in folder.glob("*/*.whl"):
        old.unlink()
    for python in pythons:
        download(wanted[python], python, folder)
    write_text(folder / "wanted.json", text)


def store(out: Path, size: int) -> None:
    """Simulate and prepare the heads, unless they are there: ``train`` and ``test`` in ``data/sim_ixi_<size>``."""
    data, settings = out / "data" / f"sim_ixi_{size}", json.dumps({**SUBJECTS, "image_size": size})
    if (data / "settings.json").is_file() and (data / "settings.json").read_text() == settings:
        return
    for verb in ("acquire", "prepare"):
        command = [sys.executable, "-m", "xmodbench", verb, "sim_ixi", "--raw", f"{out}-raw", "--out", data]
        subprocess.run([*command, "--settings", settings], check=True, cwd=REPOSITORY)
    write_text(data / "settings.json", settings)


def mib(folder: Path) -> float:
    """Size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    """Make the bundle, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "gpu")
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12"], choices=("3.11", "3.12"))
    given = parser.parse_args()
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    wheels(out, given.python)
    for size in SIZES:
        store(out, size)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True)
    write_text(out / "commit", commit.stdout)
    sizes = {
        folder.name: mib(folder) for folder in sorted([*(out / "wheels").iterdir(), out / "data"]) if folder.is_dir()
    }
    if sum(sizes.values()) - sizes["data"] > LIMIT_MIB:
        raise UserError(f"more than {LIMIT_MIB} MiB of wheels", out, "leave out what the benchmarks do not import")
    print(f"{out}: " + ", ".join(f"{name} {size:.1f} MiB" for name, size in sizes.items()))


if __name__ == "__main__":
    main()
