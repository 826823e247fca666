"""Fixtures of tests of the benchmarks."""

from __future__ import annotations

import importlib

import pytest

from xmodbench.files import REPOSITORY


@pytest.fixture
def benchmark_modules(monkeypatch):
    """Modules of the benchmarks by name."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module
