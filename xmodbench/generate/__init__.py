"""Files that are written from the code, so that they cannot disagree with it; a test fails when they drift."""

from __future__ import annotations

from pathlib import Path

from xmodbench.commands import command
from xmodbench.errors import UserError
from xmodbench.files import IS_CHECKOUT, REPOSITORY, write_text


def generated_files() -> dict[Path, str]:
    """Path and content of every generated file."""
    from xmodbench.generate.environments import environment_files
    from xmodbench.generate.metrics import metric_files
    from xmodbench.generate.options import option_files

    return {**option_files(REPOSITORY), **environment_files(REPOSITORY), **metric_files(REPOSITORY)}


def generate(check_only: bool) -> list[Path]:
    """Write the generated files that are out of date and return them; with ``check_only`` raise UserError instead."""
    if not IS_CHECKOUT:
        raise UserError("only in a checkout of the repository", "generate")
    files = generated_files()
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check_only and stale:
        names = ", ".join(path.relative_to(REPOSITORY).as_posix() for path in stale)
        raise UserError("out of date", names, f"run `{command('generate')}` and commit")
    for path in stale:
        write_text(path, files[path])
    return stale
