"""Pages of the documentation, done as they say: commands are run, files are written."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from xmodbench.cli.app import app
from xmodbench.files import REPOSITORY


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the file that its section's heading names."""

    language: str
    text: str
    file: str | None


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order."""
    found, file = [], None
    text = (REPOSITORY / "docs" / page).read_text()
    for heading, language, body in re.findall(r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```", text, flags=re.S | re.M):
        if not language:
            named = re.search(r"`([\w./-]+)`", heading)
            file = named and named[1]
        else:
            found.append(Block(language, body, file))
            file = None  # the first block of a section is the file
    return found


def run(commands: str) -> str:
    """Run a block's commands in this process, in the working folder; what they printed. All must succeed."""
    said = ""
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert program == "xmodbench"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
        said += done.output
    return said


def do(block: Block) -> str:
    """Write a block's file, or run its commands; what was printed."""
    if block.language == "sh":
        return run(block.text)
    if block.file is not None:
        path = Path(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    return ""
