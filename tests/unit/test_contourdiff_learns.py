"""ContourDiff, trained: what it learns of contours, slice by slice and guided by the slice before."""

from __future__ import annotations

import numpy as np
import pytest

from tests.paired import error_beside_copying
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.progress import Progress
from xmodbench.seeding import ImageGenerator

CLS = find(METHODS, "contourdiff").cls
TINY = {"preset": "short", "width": 8, "batch_size": 8, "sampling_steps": 5, "snapshots": 0, "neighbour_share": 0.5}


def spindles(count, seed):
    """Volumes [1, 4, 16, 16] of a body on black, every second one dim throughout: what no contour tells."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16] - 7.5
    found = []
    for level in np.resize([0.4, 0.9], count):
        (down, right), size = rng.uniform(-2, 2, 2), rng.uniform(4, 6)
        radii = size * np.array([0.8, 0.95, 1.0, 0.9]).reshape(-1, 1, 1)
        inside = np.clip(radii - np.hypot(rows - down, columns - right) + 0.5, 0, 1)
        found.append((level * inside).astype(np.float32)[None])
    return found


TRUTH = spindles(4, 2)
SOURCE = [(0.9 - 0.7 * volume).astype(np.float32) for volume in TRUTH]


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    method = CLS(CLS.Config(**TINY, iterations=100, learning_rate=4e-3))
    method.fit(TrainData(spindles(24, 1)), Run(3, "cpu", tmp_path_factory.mktemp("state"), Progress(quiet=True)))
    return method


def translated(method, volumes):
    """The unseen volumes, as volumes or slice by slice: [4, 1, 4, 16, 16]."""
    method.volumes = volumes
    generators = [ImageGenerator.of(1, str(place)) for place in range(4)]
    if volumes:
        found = [method.translate(one[None], [own]) for one, own in zip(SOURCE, generators, strict=True)]
    else:
        found = [method.translate(one.swapaxes(0, 1), generators).swapaxes(0, 1)[None] for one in SOURCE]
    return np.concatenate(found)


@pytest.mark.slow
@pytest.mark.parametrize("volumes", [False, True], ids=["slice by slice", "guided by the slice before"])
def test_a_turned_contrast_is_translated_by_its_contours(method, volumes):
    found = translated(method, volumes)
    assert error_beside_copying(found, np.stack(SOURCE), np.stack(TRUTH)) < 0.2
