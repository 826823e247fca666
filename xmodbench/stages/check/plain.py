"""Processes of data sets and metrics under check, and what both have in common: a wall, an import, plain tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xmodbench import isolation
from xmodbench.errors import UserError
from xmodbench.isolation import Wall, landlock_version
from xmodbench.plugins.discovery import KINDS, Location, load, remember
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.stages.check.findings import Room
from xmodbench.stages.wall.may_read import own_files
from xmodbench.stages.wall.refusals import Refusals
from xmodbench.stages.wall.system import code_folders, device_files, system_files
from xmodbench.stages.wall.walled import WalledProcess


class PlainProcess(WalledProcess):
    """A process of a data set or a metric; it sees its own files and what is named here, and no network.

    Args:
        read, write: files and folders beside its own.
    """

    def __init__(
        self,
        room: Room,
        location: Location,
        tasks: str,
        what: str,
        settings: dict[str, Any] | None,
        read: tuple[Path, ...] = (),
        write: tuple[Path, ...] = (),
    ):
        where = f"{location.kind.name} '{location.id}', {what}"
        super().__init__(where, tasks, start=room.start, limits=room.limits)
        self.room, self.location, self.settings, self.read, self.write = room, location, settings, read, write

    def __enter__(self) -> PlainProcess:
        self.log = self._stack.enter_context(self.room.log())
        return super().__enter__()

    def perform(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Have a task done; returns what it found.

        Raises:
            UserError: the plugin failed, was refused something, or was killed.
        """
        self._ask(task=task, arguments=arguments, environment={})
        return self._answer()

    def _wall(self) -> Wall | None:
        if not landlock_version():
            self.room.warn("this kernel has no Landlock: nobody watched what it reads and writes")
            return None
        own, folder = own_files(self.location.folder.resolve()), self.location.folder.resolve()
        return Wall(
            read=tuple(map(str, (*system_files(), *code_folders(), *own, self.data, *self.read))),
            listed=(str(folder),),
            write=tuple(map(str, (self.out, *self.write))),
            scratch=(str(self.scratch),),
            devices=device_files("cpu"),
            families=isolation.families_for("cpu", several=False),
        )

    def _request(self) -> dict[str, Any]:
        location = self.location
        return {
            "kind": location.kind.name,
            "location": [location.id, str(location.folder), location.entry],
            "settings": self.settings,
        }


class PlainTasks:
    """In the process: the plugin, made with its settings, and the tasks that subclasses name by functions.

    Attributes:
        may, writes: what the plugin may see and where it may write, for messages.
    """

    may = ""
    writes = "a temporary folder"

    def __init__(self, request: dict[str, Any], wall: Wall | None):
        kind = next(kind for kind in KINDS if kind.name == request["kind"])
        plugin_id, folder, entry = request["location"]
        self.location: Location[Any] = Location(plugin_id, kind, Path(folder), entry)
        remember(self.location)
        self.refusals, self.settings = Refusals(Path(folder), wall), request["settings"]
        self.progress = Progress(quiet=True)

    def described(self) -> dict[str, Any]:
        """Import the plugin and make it.

        Raises:
            UserError: it cannot be imported, breaks the contract, or refuses the settings.
        """
        before = "torch" in sys.modules
        cls = self.guarded("import", lambda: load(self.location)).cls
        if "torch" in sys.modules and not before:
            fix = "import it inside the methods, or in a module of your own that they import"
            raise UserError("imports torch at the top", self.location.where, fix)
        if self.settings is None:
            given, where = self.location.meta().get("smoke", {}), (f"{self.location.kind.module}.yaml", "smoke")
        else:
            given, where = self.settings, ("--settings", "")
        settings = validated(cls.Config, given, *where)
        self.plugin = self.guarded("is made", lambda: cls(settings))
        return {}

    def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do a task: the function of its name."""
        found = getattr(self, request["task"])(**request["arguments"])
        return {"looked_for": self.refusals.looked_for, **found}

    def guarded(self, what: str, work: Callable[[], Any]) -> Any:
        """What the plugin's code answers; a UserError where it fails."""
        where = f"{self.location.kind.name} '{self.location.id}', {what}"
        try:
            return work()
        except SystemExit as error:
            fix = "return when it is done, raise an exception when it fails"
            raise UserError(f"called sys.exit({error.code!r:.60})", where, fix) from None
        except KeyboardInterrupt:
            raise UserError("raised KeyboardInterrupt", where, "that is for who sits at the terminal") from None
        except Exception as error:
            raise self.refusals.explain(error, where, self.may, self.writes) from None
