"""A working folder with tiny real volumes, a config, and a way to run Snakemake in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import sharing
from tests.plugins import GRADIENT, write_method
from xmodbench.files import REPOSITORY
from xmodbench.plan.config import load_config
from xmodbench.plan.job_list import JobList
from xmodbench.plan.plan import Plan

OUTPUT = "said.txt"
"""In the folder of a finished run: what Snakemake said."""

# this checkout's package, wherever an installed one is
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def write_volumes(folder: Path, subjects: int = 4) -> None:
    """Heads as NIfTI, 40x40x10 voxels of 5 mm: an ellipsoid with ventricles, T1 and PD contrast, some noise."""
    import SimpleITK as sitk

    folder.mkdir(parents=True)
    z, y, x = np.mgrid[-1:1:10j, -1:1:40j, -1:1:40j]
    for index in range(subjects):
        rng = np.random.default_rng(index)
        a, b = rng.uniform(0.6, 0.75, 2)
        head = (x / a) ** 2 + (y / b) ** 2 + (z / 0.95) ** 2 < 1
        core = (x / 0.25) ** 2 + ((y - 0.1) / 0.2) ** 2 + (z / 0.5) ** 2 < 1
        for name, (tissue, fluid) in {"T1": (700, 150), "PD": (500, 900)}.items():
            volume = np.where(core, fluid, np.where(head, tissue, 0)) + rng.normal(0, 15, head.shape)
            image = sitk.GetImageFromArray(volume.clip(0).astype(np.int16))
            image.SetSpacing((5.0, 5.0, 5.0))
            sitk.WriteImage(image, str(folder / f"sub{index}_{name}.nii.gz"))


class Work:
    """A working folder of a benchmark."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "config.yaml"
        self.results = folder / "results" / "tiny"

    def write_config(self, **changes) -> None:
        values = {
            "run": "tiny",
            "seed": 3,
            "datasets": {
                "heads": {
                    "plugin": "folder",
                    "raw": "volumes",
                    "directions": ["pd->t1"],
                    "settings": {
                        "patterns": {"pd": "{subject}_PD.nii.gz", "t1": "{subject}_T1.nii.gz"},
                        "image_size": 32,
                        "split": {"n_test": 2},
                    },
                }
            },
            "methods": {"gradient": {"translate_jobs": 2}, "copy_source": {}, "oracle": {}},
            "compute": {"device": "cpu", "threads": 1},
            "scoring": {"bootstrap": 100},
            "report": {"figures": False},
            **changes,
        }
        self.config.write_text(yaml.safe_dump(values))

    def snakemake(self, *options: str, entry: str = "Snakefile") -> subprocess.CompletedProcess:
        given = ["-s", str(REPOSITORY / entry), "--configfile", str(self.config)]
        return sharing.snakemake([*given, *options], self.folder, ENVIRONMENT)

    def run(self, *options: str) -> subprocess.CompletedProcess:
        return self.snakemake("--cores", "2", *options)

    def planned(self, *options: str, entry: str = "Snakefile") -> dict[str, int]:
        """Number of planned jobs by rule."""
        done = self.snakemake("-n", "--quiet", "host", *options, entry=entry)
        assert done.returncode == 0, done.stderr
        table = done.stdout.split("Job stats:")[-1] if "Job stats:" in done.stdout else ""
        rows = [line.split() for line in table.splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "total"}


def job_list(work: Work, monkeypatch) -> JobList:
    """The jobs of a working folder's config, as the package itself lists them."""
    monkeypatch.chdir(work.folder)
    return JobList(Plan(load_config("config.yaml"), "config.yaml"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Work:
    """A complete run; tests that change it work on a copy (`work`)."""

    def make(folder: Path) -> None:
        work = Work(folder)
        write_volumes(folder / "volumes")
        write_method(folder, "gradient", GRADIENT)
        work.write_config()
        done = work.run()
        assert done.returncode == 0, done.stderr
        (folder / OUTPUT).write_text(done.stderr + done.stdout)

    work = Work(sharing.made_once(tmp_path_factory, "benchmark", make))
    work.output = (work.folder / OUTPUT).read_text()
    return work


@pytest.fixture
def work(finished, tmp_path) -> Work:
    """A copy of the finished run, times and all."""
    copy = Work(tmp_path / "copy")
    subprocess.run(["cp", "-a", str(finished.folder), str(copy.folder)], check=True)
    return copy


@pytest.fixture
def fresh(tmp_path) -> Work:
    """Volumes and a config, nothing run yet."""
    work = Work(tmp_path)
    write_volumes(work.folder / "volumes")
    write_method(work.folder, "gradient", GRADIENT)
    work.write_config()
    return work
