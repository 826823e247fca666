"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.sharing import made_once
from xmodbench.progress import Progress
from xmodbench.store import StoreWriter

# jobs started by tests share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell's background jobs ignore Ctrl-C, and what they start does too: tests that send it would wait in vain
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# the same few examples everywhere; HYPOTHESIS_PROFILE=many looks for new ones, an hour or so
ALWAYS = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("few", max_examples=40, derandomize=True, **ALWAYS)
settings.register_profile("many", max_examples=5000, print_blob=True, **ALWAYS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

# files of few and long tests: left to the end, a process would have one of them when the others have nothing left
LONG = (
    "test_kills",
    "test_smoke",
    "test_faults",
    "test_run",
    "test_power_cuts",
    "test_methods",
    "test_score_your_own",
    "test_imported_models",
    "test_status_of_run",
    "test_failures",
    "test_stylegan2_processes",
    "test_wheel",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all else in its order (with ``--no-loadscope-reorder``, or xdist would sort by number of tests)."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def quiet() -> Progress:
    return Progress(quiet=True)


def store_writer(folder: Path, n: int = 6, size: int = 16, seed: int = 0, modalities=("pd", "t1")) -> Path:
    """Write a small store of random PD and T1 slices."""
    rng = np.random.default_rng(seed)
    with StoreWriter(folder, modalities, (size, size), {"dataset": "toy"}) as writer:
        for index in range(n):
            images = {name: rng.random((size, size), dtype=np.float32) for name in modalities}
            subject = f"s{index // 2}"
            writer.add(images, id=f"{subject}_{index:03d}", subject=subject, site="a", position_mm=float(index))
    return folder


@pytest.fixture
def make_store():
    """`store_writer`: `make_store(folder, n=6, size=16, seed=0)`."""
    return store_writer


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with prepared heads and a model that copies (`tests.phantoms.trained_copier`); only to be read."""
    from tests.phantoms import trained_copier  # brings the image libraries along

    return made_once(tmp_path_factory, "trained", trained_copier)


@pytest.fixture(scope="session")
def trained_of_two(tmp_path_factory):
    """The same of a model that translates from two modalities at once (`tests.phantoms.trained_on_two`)."""
    from tests.phantoms import trained_on_two

    return made_once(tmp_path_factory, "trained-on-two", trained_on_two)
