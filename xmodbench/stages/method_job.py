"""A method's job as it is asked for, before any of the method's code has run; and what the method says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.plugins.code_hash import plugin_files
from xmodbench.plugins.discovery import Location
from xmodbench.progress import Progress


@dataclass(frozen=True)
class MethodJob:
    """A method's job as the command line asks for it; nothing of the method has been imported.

    Attributes:
        name: of the method in the run.
        settings: the plugin's options, JSON.
        threads: of this process; several processes of one training share them.
    """

    name: str
    location: Location
    settings: dict[str, Any]
    seed: int
    device: str
    threads: int
    progress: Progress

    def facts(self) -> dict[str, Any]:
        """What belongs into every record of the job."""
        return {"name": self.name, "plugin": self.location.id, "code_sha256": self.location.code_hash}


@dataclass(frozen=True)
class Described:
    """What a method says of itself, asked behind the wall."""

    supervision: str
    settings: dict[str, Any]
    settings_sha256: str
    control: bool
    plain: bool  # a control without a model: NumPy alone, no device
    two_phase: bool
    model_plugin: str | None
    wanted_slices: int | None = None

    def traced_settings(self) -> dict[str, Any]:
        """The settings as a record holds them."""
        return {"settings": self.settings, "settings_sha256": self.settings_sha256}


def named_files(job: MethodJob) -> dict[str, Path]:
    """Files that the method reads because its settings name them, under options that its YAML lists as ``files``.

    Raises:
        UserError: one of them is not there.
    """
    found: dict[str, Path] = {}
    for option in job.location.meta().get("files", []):
        value = job.settings.get(option)
        if isinstance(value, str):
            if not Path(value).is_file():
                raise UserError("no such file", f"settings.{option}: {value}")
            found[value] = Path(value).absolute()
    return found


def own_files(folder: Path) -> list[Path]:
    """The files that make up a plugin, as they lie in its folder.

    Raises:
        UserError: one of them is a link that leads elsewhere, where anything might lie.
    """
    files = plugin_files(folder)
    for path in files:
        if not path.resolve().is_relative_to(folder):
            fix = "copy it, or name the file in an option that the plugin's YAML lists under files"
            raise UserError("a link that leads out of the plugin's folder", path, fix)
    return files


def check_apart(path: Path, truth: Path | None, verb: str) -> None:
    """Refuse to let a method into a folder that holds the data, or that lies among data or translations.

    Raises:
        UserError: `path` and `truth` are not apart, or it is or lies in a slice store.
    """
    if truth is not None and (path.is_relative_to(truth) or truth.is_relative_to(path)):
        raise UserError(f"holds the data or lies among them ({truth})", f"{verb}: {path}", "give a folder of its own")
    if any((folder / "manifest.json").is_file() for folder in (path, *path.parents)):
        raise UserError("is a slice store", f"{verb}: {path}", "a method is handed copies of what it may see")
