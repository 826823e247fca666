"""Commands as they stand in messages: whoever reads one can paste it into the shell it was printed in."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xmodbench.files import REPOSITORY, SHIPPED

TYPED = "XMODBENCH_COMMAND"
"""Environment variable with the command that a person typed, for processes that it starts."""


def documentation(page: str) -> str:
    """Where a page of the documentation is."""
    path = SHIPPED / "docs" / page
    return str(path) if path.is_file() else f"{page} in the documentation"


def pasteable(words: Sequence[str]) -> str:
    """A command line that starts a program as ``sys.argv`` says that one was started."""
    program = Path(words[0])
    if program.name == "__main__.py":
        return shlex.join([*_python(), "-m", program.parent.name, *words[1:]])
    if not program.is_file():  # python -c
        return command(*words[1:])
    found = shutil.which(program.name)
    on_path = found is not None and os.path.samefile(found, program)
    if on_path or os.access(program, os.X_OK):
        return shlex.join([program.name if on_path else str(program.absolute()), *words[1:]])
    return shlex.join([*_python(), str(program), *words[1:]])


def command(*words: object) -> str:
    """``xmodbench`` with words behind it, run by the Python that runs this."""
    found, ours = shutil.which("xmodbench"), Path(sys.executable).parent
    program = ["xmodbench"] if found and Path(found).parent == ours else [*_python(), "-m", "xmodbench"]
    return shlex.join([*program, *map(str, words)])


def remake(output: Path, by_hand: str) -> str:
    """What to do about an output that is not what it should be: in a run, the command that makes it and what follows anew.

    Without a word Snakemake would not: it takes for good what it has no notes on, and does not miss what was deleted on the
    way to files that are there.
    """
    given = os.environ.get(TYPED)
    return f"run `{given} --forcerun {shlex.quote(str(output))}`" if given else by_hand


def instead(verb: str, without: Collection[str] = ()) -> str:
    """The command that started this process, with another verb and without some of its options and their values."""
    words, dropped = [], False
    for word in sys.argv[2:]:
        if not dropped and word.partition("=")[0] not in without:
            words.append(word)
        dropped = not dropped and word in without
    return pasteable([sys.argv[0], verb, *words])


def _python() -> list[str]:
    """This Python, by its name where that finds it, and where this package is if it would not find that by itself."""
    ours = Path(sys.executable)
    names = (
        name for name in ("python", "python3") if (found := shutil.which(name)) and Path(found).parent == ours.parent
    )
    found = next((name for name in names if os.path.samefile(ours.with_name(name), ours)), str(ours))
    try:
        version("xmodbench")
    except PackageNotFoundError:
        return ["env", f"PYTHONPATH={REPOSITORY}", found]
    return [found]
