"""A method with an environment of its own, from a wheel that is made here: nothing is fetched."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from textwrap import dedent

from tests.plugins import write_method
from xmodbench.stages.wall.building import builder

META = "label: Old\nsummary: toy\nenvironment: requirements.txt\n"
OLD_PANDAS = """
class Old(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        import pandas
        self.level = pandas.level()
        run.facts["pandas"] = pandas.__version__
    def save(self, directory): (directory / "level").write_text(repr(self.level))
    def load(self, directory, run): self.level = float((directory / "level").read_text())
    def translate(self, source, generators):
        import pandas
        return np.full_like(source, (self.level + pandas.level()) / 2)
"""
"""Needs a pandas that this project could not use."""
FAKE_UV = """
    import subprocess, sys, zipfile
    from pathlib import Path
    words = sys.argv[1:]
    if words[0] == "venv":
        sys.exit(subprocess.call([words[words.index("--python") + 1], "-m", "venv", "--without-pip", words[-1]]))
    file = Path(words[words.index("--requirement") + 1])
    (packages,) = Path(words[words.index("--python") + 1]).parent.parent.glob("lib/*/site-packages")
    if "./" in file.read_text():
        sys.exit("error: building from source is disabled")
    for line in filter(lambda line: "==" in line, file.read_text().splitlines()):
        found = list((file.parent / "wheels").glob(line.strip().replace("==", "-") + "-*.whl"))
        if not found:
            sys.exit(f"  x No solution found when resolving dependencies:\\n  Because there is no version of {line}")
        zipfile.ZipFile(found[0]).extractall(packages)
"""
"""What is used of uv here, where there is none: an environment, and wheels put into it."""


def with_uv(folder: Path, monkeypatch) -> None:
    """Have uv on the path, or what does the same for these tests, and a cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    if builder(by_conda=False) is None:
        write_program(folder / "programs", "uv", FAKE_UV)
        monkeypatch.setenv("PATH", f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}")


def write_program(folder: Path, name: str, code: str) -> Path:
    """A program in Python."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{dedent(code)}")
    path.chmod(0o755)
    return path


def write_wheel(folder: Path, name: str, version: str, code: str, more: dict[str, str] | None = None) -> Path:
    """A wheel of one module, and of `more` files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"__version__ = {version!r}\n{dedent(code)}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files |= more or {}
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def write_old(root: Path, body: str = OLD_PANDAS, wanted: str = "pandas==0.0.7", name: str = "old") -> Path:
    """The method, in ``<root>/methods/<name>``, with its wheel and requirements."""
    folder = write_method(root, name, body, META)
    write_wheel(folder / "wheels", "pandas", "0.0.7", "def level(): return 0.25")
    (folder / "requirements.txt").write_text(f"--no-index\n--find-links wheels\n{wanted}\n")
    (folder / "README.md").write_text("toy")
    return folder
