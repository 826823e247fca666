"""Importing a module of a large package without what its packages' ``__init__`` bring along: seconds of each short job."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_init(*packages: str) -> Iterator[None]:
    """Let modules of packages, such as ``scipy.optimize``, be imported without their ``__init__``.

    Nothing of it lasts: whoever imports these packages afterwards gets all of them, with the same classes. Those that are
    imported already are left as they are.
    """
    placed = []
    for package in packages:
        top, _, inner = package.partition(".")
        spec = importlib.util.find_spec(top)
        if package in sys.modules or spec is None or not spec.submodule_search_locations:
            continue
        sys.modules[package] = bare = types.ModuleType(package)
        bare.__path__ = [f"{root}/{inner.replace('.', '/')}" for root in spec.submodule_search_locations]
        placed.append(package)
    try:
        yield
    finally:
        for package in placed:
            del sys.modules[package]


@contextmanager
def cannot_be_imported(*modules: str) -> Iterator[None]:
    """Let others find that modules they could do without are not there, unless these are imported already."""
    missing = [name for name in modules if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say so
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
