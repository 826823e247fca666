"""What a method asked for that lies outside its wall, told in one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from xmodbench.errors import UserError, said
from xmodbench.isolation import Wall

WRITES = "its state, its output and a temporary folder"
DEPTH = 12  # frames between a plugin's own line and the library function that opens a file for it
LOOKING = frozenset(
    {"open", "os.listdir", "os.scandir", "os.chdir", "os.readlink", "glob.glob", "glob.glob/2", "os.link"}
)


class Refusals:
    """Watches what the code of a plugin looks for, by Python's audit events; the wall itself needs no watching.

    Args:
        folder: of the plugin: what libraries try on their own account is not of interest.
        wall: None where there is none, and nothing is refused.
    """

    def __init__(self, folder: Path, wall: Wall | None):
        self.folder, self.wall = f"{folder}{os.sep}", wall
        self.looked_for: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if event not in LOOKING or not arguments or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        given = os.fsdecode(arguments[0])
        if given in self.looked_for or len(self.looked_for) >= 20 or not self._by_the_plugin():
            return
        path = os.path.normpath(os.path.join(os.getcwd(), given))
        if event.startswith("glob") or (self.wall is not None and not self.wall.holds(path)):
            self.looked_for.append(given)

    def _by_the_plugin(self) -> bool:
        frame: FrameType | None = sys._getframe(2)
        for _ in range(DEPTH):
            if frame is None:
                return False
            if frame.f_code.co_filename.startswith(self.folder):
                # code of a module, as it is compiled from its file, is looked for by the import system
                return True
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return False
            frame = frame.f_back
        return False

    def explain(self, error: Exception, where: str, seen: str, writes: str = WRITES) -> UserError:
        """The failure of a method in one line.

        Args:
            error: what the method raised; a UserError is handed on, unless it follows from a refusal.
            where: the method and the task, for the message.
            seen: what it may see.
            writes: where it may write.
        """
        refused = next((item for item in chain(error) if isinstance(item, PermissionError)), None)
        if refused is not None and self.wall is not None:
            path = refused.filename or (self.looked_for[-1] if self.looked_for else None)
            what = f"was refused '{os.fsdecode(path)}'" if path is not None else f"was refused a connection ({refused})"
            return UserError(what, where, f"it may see {seen}, and write to {writes}")
        if isinstance(error, UserError):
            return error
        traceback.print_exception(error)
        if isinstance(error, ValueError) and "read-only" in str(error):
            fix = "copy it first: source = source.copy()"
            return UserError("writes into an array that it was handed", where, fix)
        what = said(error)
        if self.looked_for and self.wall is not None:
            what += f", after it looked for '{self.looked_for[-1]}', which is not there for it"
            return UserError(what, where, f"it may see {seen}")
        return UserError(what, where)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it followed from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
