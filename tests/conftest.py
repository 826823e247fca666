"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from xmodbench.progress import Progress
from xmodbench.store import StoreWriter

# jobs started by tests share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell's background jobs ignore Ctrl-C, and what they start does too: tests that send it would wait in vain
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
