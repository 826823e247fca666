"""Tiny plugins written into a working folder, for tests of the harness."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import Location
from xmodbench.progress import Progress
from xmodbench.stages.wall.method_job import MethodJob

HEAD = """
import numpy as np
from xmodbench.plugins import Dataset, Method, Settings, Supervision
"""

GRADIENT = """
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): self.level = float(train.target.mean())
    def save(self, directory): (directory / "level.txt").write_text(repr(self.level))
    def load(self, directory, run): self.level = float((directory / "level.txt").read_text())
    def translate(self, source, generators):
        noise = np.stack([item.numpy.random(source.shape[1:], dtype=np.float32) for item in generators])
        return (0.5 * source + 0.5 * noise).astype(np.float32)
"""


SEEING = """
import json, os
from pathlib import Path
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        arrays = {"target": train.target, "source": train.source}
        self.saw = {name: None if array is None else array[:, 0].tolist() for name, array in arrays.items()}
        self.saw["file"] = train.target.base.filename
        self.saw["neighbours"] = sorted(os.listdir(Path(train.target.base.filename).parent))
    def save(self, directory): (directory / "saw.json").write_text(json.dumps(self.saw))
    def load(self, directory, run): self.saw = json.loads((directory / "saw.json").read_text())
    def translate(self, source, generators):
        noise = [item.numpy.random(source.shape[1:], dtype=np.float32) for item in generators]
        return (source + np.stack(noise)) / 2
"""
"""A method that keeps what it saw in ``saw.json``, and translates by adding its own noise per image."""


def job_of(root: Path, name: str, body: str = SEEING, seed: int = 5, **settings) -> MethodJob:
    """The job of a method written into ``<root>/methods/<name>``."""
    folder = write_method(root, name, body)
    return MethodJob(name, Location(name, METHODS, folder), settings, seed, "cpu", 1, Progress(quiet=True))


def fitting(code: str, saving: str = '(directory / "w").write_text("1")') -> str:
    """A method that runs `code` in ``fit`` (and `saving` in ``save``) and copies the source."""
    lines = "\n        ".join(code.strip().splitlines())
    return f"""
import os
import time
from pathlib import Path
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        {lines}
    def save(self, directory): {saving}
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""


def few_shot(body: str) -> str:
    """The source of a zero-shot method turned into a few-shot one that sees a single source slice."""
    head = (
        "from xmodbench.plugins import FewShot\nclass Toy(FewShot):\n    def source_slices(self, available): return 1\n"
    )
    return body.replace("ZERO_SHOT", "FEW_SHOT").replace("class Toy(Method):\n", head)


def write_method(root: Path, name: str, body: str = GRADIENT, meta: str = "label: Toy\nsummary: toy\n") -> Path:
    """A method plugin ``<root>/methods/<name>`` with the class given as source text."""
    return _write(root / "methods" / name, "method", body, meta)


def write_dataset(root: Path, name: str, body: str, meta: str = "label: Toy data\nsummary: toy\n") -> Path:
    """A data-set plugin ``<root>/data_prep/<name>``."""
    return _write(root / "data_prep" / name, "dataset", body, meta)


def _write(folder: Path, module: str, body: str, meta: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(HEAD + dedent(body))
    (folder / f"{module}.yaml").write_text(meta)
    return folder
