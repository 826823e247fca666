"""Importing a module of a large package without what its packages' ``__init__`` bring along: seconds of each short job."""

from __future__ import annotations

import gc
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder


@contextmanager
def without_init(*packages: str) -> Iterator[None]:
    """Let modules of packages, such as ``scipy.optimize``, be imported without their ``__init__``.

    Nothing of it lasts: whoever imports these packages afterwards gets all of them, with the same classes. Those that are
    imported already are left as they are.
    """
    placed = []
    for package in packages:
        top, _, inner = package.partition(".")
        roots = _folders(top)
        if package in sys.modules or not roots:
            continue
        sys.modules[package] = bare = types.ModuleType(package)
        bare.__path__ = [f"{root}/{inner.replace('.', '/')}" for root in roots]
        placed.append(package)
    try:
        yield
    finally:
        for package in placed:
            del sys.modules[package]


def _folders(package: str) -> list[str]:
    """Where the modules of a package lie that has no package above it; none where it is not installed."""
    if package in sys.modules:
        return list(getattr(sys.modules[package], "__path__", ()))
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


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


class Uncollected(MetaPathFinder):
    """Finds packages that are so large that looking for garbage among what they define takes a tenth of their import.

    For `sys.meta_path`; it takes itself out of it once it has found all of them. Garbage is collected as before afterwards.
    """

    def __init__(self, *packages: str):
        self.left = set(packages)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As Python's own finder does, with a loader that leaves the garbage alone; None for all other modules."""
        if name not in self.left:
            return None
        self.left.remove(name)
        if not self.left:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(_uncollected, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _uncollected(execute, module: types.ModuleType) -> None:
    collecting = gc.isenabled()
    gc.disable()
    try:
        execute(module)
    finally:
        if collecting:
            gc.enable()
