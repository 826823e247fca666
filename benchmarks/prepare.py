"""How long one full-size pair takes to prepare, step by step, on one thread: `python benchmarks/prepare.py`.

A head is simulated with IXI's grids (T1 256 x 256 x 150 sagittal, PD 256 x 256 x 130 axial and tilted) and moved between
the scans; reading, masks, registration, resampling and slicing are timed, and the offset found is compared with the truth.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes import prepare as preparation
from xmodbench.data.volumes import register, subject
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

SUBJECTS_IN_THE_PAPER = 125


class Clock:
    """Adds up the time spent in functions of a module."""

    def __init__(self):
        self.spent: dict[str, float] = defaultdict(float)

    def watch(self, module: Any, name: str, label: str) -> None:
        """Replace a function by one that is timed under `label`."""
        function: Callable = getattr(module, name)

        def timed(*args, **kwargs):
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[label] += time.process_time() - start

        setattr(module, name, timed)


def simulate(raw: Path, scale: float, seed: int) -> Any:
    """One simulated subject with IXI's settings; returns the data set."""
    plugin = find(DATASETS, "sim_ixi")
    dataset = plugin.cls(plugin.cls.Config(n_subjects=2, scale=scale))
    # the data set wants two: only the first is made and prepared
    dataset.simulate(raw, dataset.subjects()[0], seed, {})
    return dataset


def time_subject(dataset: Any, raw: Path, seed: int, n4: bool) -> tuple[dict[str, float], Any]:
    """Seconds by step, and what became of the subject."""
    clock = Clock()
    for module, name, label in (
        (subject, "read_volume", "read"),
        (subject, "volume_sha256", "hash"),
        (subject, "head_mask", "masks"),
        (subject, "correct_bias", "N4"),
        (register, "_optimise", "registration: search"),
        (subject, "register_rigid", "registration: all"),
        (subject, "_on_grid", "resample"),
        (subject, "_intensities", "normalise"),
    ):
        clock.watch(module, name, label)
    settings = dataset.settings.model_copy(update={"n4": n4})
    (record,) = [item for item in dataset.volumes(raw) if len(item.files) == len(dataset.modalities())]
    dataset.settings = settings
    (task,) = preparation._tasks([record], dataset.modalities(), settings, raw, raw, seed)
    start = time.process_time()
    outcome = subject.prepare_subject(task)
    clock.spent["whole subject"] = time.process_time() - start
    if outcome.failure:
        raise SystemExit(outcome.failure)
    return dict(clock.spent), outcome


def error_of(outcome: Any, raw: Path, name: str) -> tuple[float, float]:
    """How far the found transform is from the true one: mm at the head's middle, degrees."""
    truth = json.loads((raw / f"{name}-truth.json").read_text())["t1_offset"]
    true = sitk.Euler3DTransform(truth["centre_mm"], *truth["angles_rad"], truth["translation_mm"])
    found = outcome.facts["registration"]["t1"]["transform"]
    ours = sitk.Euler3DTransform(found["centre_mm"], *found["angles_rad"], found["translation_mm"])
    apart = np.subtract(ours.TransformPoint(truth["centre_mm"]), true.TransformPoint(truth["centre_mm"]))
    rest = np.reshape(ours.GetMatrix(), (3, 3)) @ np.reshape(true.GetMatrix(), (3, 3)).T
    return float(np.linalg.norm(apart)), float(np.degrees(np.arccos(min(1.0, (np.trace(rest) - 1) / 2))))


def main() -> None:
    """Simulate, prepare, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--scale", type=float, default=1.0, help="voxel size relative to IXI's")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--n4", action="store_true", help="correct bias fields too")
    options.add_argument("--raw", type=Path, help="keep the simulated scans here")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = arguments.raw or Path(folder)
        raw.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        dataset = simulate(raw, arguments.scale, arguments.seed)
        Progress().say(f"simulated in {time.process_time() - start:.1f} s")
        spent, outcome = time_subject(dataset, raw, arguments.seed, arguments.n4)
        apart, turned = error_of(outcome, raw, dataset.subjects()[0])
    for label, seconds in sorted(spent.items(), key=lambda item: item[1]):
        print(f"{label:24} {seconds:7.2f} s")
    print(f"{'peak memory':24} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB")
    print(f"registration is {apart:.2f} mm and {turned:.2f} degrees off the truth")
    minutes = SUBJECTS_IN_THE_PAPER * spent["whole subject"] / 60
    print(f"{SUBJECTS_IN_THE_PAPER} such pairs: {minutes:.0f} minutes on one core")


if __name__ == "__main__":
    main()
