"""The order of the rooms: an import leads down, never back up and never in a circle (docs/architecture.md)."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from xmodbench.files import PACKAGE_ROOT, REPOSITORY

FLOORS = (
    {"cli"},
    {"report", "benchmarks"},
    {"stages", "generate"},
    {"metrics"},
    {"plan", "methods", "data_prep"},
    {"data", "learning"},
    {"plugins"},
    {"records", "store", "devices", "isolation"},
    {"commands"},
    {"files", "progress", "seeding", "yaml_text", "directions"},
    {"errors", "lean_imports"},
)
"""From the top down; rooms of one floor know nothing of each other."""
LEVEL = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
BESIDE = ("methods", "data_prep", "benchmarks")


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str


def imports(root: Path, beside: tuple[str, ...] = ()) -> Iterator[Import]:
    """Every import of this package, wherever it stands in a file, also those for type checkers."""
    for folder in (root / "xmodbench", *(root / name for name in beside)):
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                for module in _modules(root, file, node):
                    yield Import(file.relative_to(root), node.lineno, module)


def _modules(root: Path, file: Path, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "xmodbench")
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = ".".join(file.relative_to(root).parts[: -node.level])
            base = f"{package}.{base}" if base else package
        if base.split(".")[0] == "xmodbench":
            for alias in node.names:
                path = root.joinpath(*base.split("."), alias.name)
                yield f"{base}.{alias.name}" if path.is_dir() or path.with_suffix(".py").is_file() else base


def room_of(file: Path) -> str:
    """``cli`` for ``xmodbench/cli/app.py``, ``errors`` for ``xmodbench/errors.py``, ``methods`` for all of its plugins."""
    parts = file.with_suffix("").parts
    return parts[1] if parts[0] == "xmodbench" else parts[0]


def back_up(root: Path, beside: tuple[str, ...] = ()) -> list[str]:
    """A line for each import that does not lead down."""
    wrong = []
    for item in imports(root, beside):
        here, there = room_of(item.file), [*item.module.split("."), ""][1]
        if here in ("__init__", "__main__") or there in ("", "__version__"):
            continue  # the package itself: its version, and its entry point
        for room in (here, there):
            if room not in LEVEL:
                wrong.append(f"{item.file}:{item.line}: '{room}' is no room of the house")
        if here in LEVEL and there in LEVEL and here != there and LEVEL[there] <= LEVEL[here]:
            wrong.append(f"{item.file}:{item.line}: {here} must not import {there} ({item.module})")
    return wrong


def circle(root: Path) -> list[str]:
    """The modules of a circle of imports, an arrow's file before the one it imports; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for item in imports(root):
        path = root.joinpath(*item.module.split("."))
        there = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if item.file != there.relative_to(root):
            graph.setdefault(str(item.file), set()).add(str(there.relative_to(root)))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_imports_lead_down():
    assert back_up(REPOSITORY, BESIDE) == []


def test_no_circle():
    assert circle(REPOSITORY) == []


def test_every_room_has_a_floor():
    rooms = {path.stem for path in PACKAGE_ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms - {"__init__", "__main__", "__pycache__", "py"} == set(LEVEL) - set(BESIDE)


def test_the_offending_line_is_named(tmp_path):
    """The check itself, on a house built wrong: at module level, in a function, relative, and for types only."""
    files = {
        "plugins/method.py": """
            from typing import TYPE_CHECKING
            from xmodbench.errors import UserError
            if TYPE_CHECKING:
                from xmodbench.data.volumes import nifti
            """,
        "errors.py": "def told():\n    import xmodbench.report.page\n",
        "stages/train.py": "from ..cli import app\n",
        "cli/app.py": "",
        "data/volumes/nifti.py": "from . import io\n",
        "data/volumes/io.py": "from xmodbench.data.volumes.nifti import read\n",
    }
    for name, text in files.items():
        path = tmp_path / "xmodbench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        (path.parent / "__init__.py").touch()
    assert back_up(tmp_path) == [
        "xmodbench/errors.py:2: errors must not import report (xmodbench.report.page)",
        "xmodbench/plugins/method.py:5: plugins must not import data (xmodbench.data.volumes.nifti)",
        "xmodbench/stages/train.py:1: stages must not import cli (xmodbench.cli.app)",
    ]
    assert {Path(name).name for name in circle(tmp_path)} >= {"nifti.py", "io.py"}
