"""What decides a rerun: a plugin's own files, and every module of this package that they import, directly or not.

Followed are the imports that can run, wherever they stand in a file; those for type checkers alone decide nothing. A name
that a package's ``__init__`` hands on leads to the module that defines it, so that editing its neighbours reruns nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from xmodbench.files import PACKAGE_ROOT, files_below, sha256_file, sha256_files, sha256_json

ONLY_WORDS = frozenset({"errors.py", "progress.py"})
"""Modules of this package that only say things: whatever they say, a model stays the same."""

TEST = re.compile(r"test_\w+\.py")
"""A plugin's own tests, which decide nothing either."""

NOT_CODE = frozenset({".md", ".rst", ".pyc", ".nbi", ".nbc"})
"""What may lie in a plugin's folder without deciding anything: prose, and what compilers cache."""


def folder_hash(folder: Path) -> str:
    """Hash of a plugin: the files that make it up, and the modules of this package that they import."""
    own = plugin_files(folder)
    used = modules_used(path for path in own if path.suffix == ".py")
    return sha256_files(own, folder)[:16] + sha256_files(used, PACKAGE_ROOT)[:16]


def plugin_files(folder: Path) -> list[Path]:
    """The files that make up a plugin: all of its folder but prose, tests, hidden files and compilers' caches."""
    return [path for path in files_below(folder, linked=False) if path.is_file() and _decides(path.relative_to(folder))]


def _decides(name: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
    return not hidden and name.suffix not in NOT_CODE and not TEST.fullmatch(name.name)


@cache
def files_hash(*files: Path) -> str:
    """Hash of Python files, wherever they lie, and of the modules of this package they import (16 hexadecimal digits)."""
    own = [sha256_file(path) for path in sorted(files)]
    return sha256_json([*own, sha256_files(modules_used(files), PACKAGE_ROOT)])[:16]


@cache
def package_hash(*parts: str) -> str:
    """Hash of parts of this package (modules or folders, relative to it) with all their files and what they import."""
    files: set[Path] = set()
    for part in parts:
        path = PACKAGE_ROOT / part
        files |= (
            {item for item in files_below(path, linked=False) if _decides(item.relative_to(path))}
            if path.is_dir()
            else {path}
        )
    files |= modules_used(path for path in files if path.suffix == ".py")
    return sha256_files(files, PACKAGE_ROOT)[:16]


def modules_used(files: Iterable[Path]) -> set[Path]:
    """Modules of this package that `files` import, directly or through each other."""
    found: set[Path] = set()
    waiting = sorted(files)
    while waiting:
        for path in _imported(waiting.pop()):
            if path not in found and path.relative_to(PACKAGE_ROOT).as_posix() not in ONLY_WORDS:
                found.add(path)
                waiting.append(path)
    return found


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The modules of this package that a file imports by name."""
    origins = [_origin(module, name) for module, name in _imports(path)]
    return tuple(dict.fromkeys(origin for origin in origins if origin is not None and origin.is_file()))


def _origin(module: str, name: str | None) -> Path | None:
    """The file behind ``import module`` or ``from module import name``; None where it is none of this package."""
    parts = module.split(".")
    if parts[0] != PACKAGE_ROOT.name:
        return None
    if name is not None and _file([*parts, name]).is_file():
        return _file([*parts, name])
    handed_on = _handed_on(_file(parts)) if name is not None else {}
    if name in handed_on:
        return _origin(*handed_on[name])
    return _file(parts) if len(parts) > 1 else None


def _file(parts: list[str]) -> Path:
    stem = PACKAGE_ROOT.joinpath(*parts[1:])
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


@cache
def _handed_on(path: Path) -> dict[str, tuple[str, str]]:
    """What a package's ``__init__`` only imports to hand it on: name to (module, name there)."""
    if path.name != "__init__.py":
        return {}
    return {name: (module, name) for module, name in _imports(path) if name is not None}


@cache
def _imports(path: Path) -> tuple[tuple[str, str | None], ...]:
    """Every import of a file that can run: (module, name), the name None for ``import module``."""
    found: list[tuple[str, str | None]] = []
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(path, node) if node.level else node.module
            found += [(module, alias.name) for alias in node.names] if module else []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return tuple(found)


def _absolute(path: Path, node: ast.ImportFrom) -> str | None:
    """The module a relative import of this package means; None in a plugin, whose own files are all hashed anyway."""
    if not path.is_relative_to(PACKAGE_ROOT):
        return None
    package = [PACKAGE_ROOT.name, *path.relative_to(PACKAGE_ROOT).parts[: -node.level]]
    return ".".join([*package, *([node.module] if node.module else [])])
