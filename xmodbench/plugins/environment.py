"""A method's own environment, which its YAML names: packages in other versions than this project's, and their place."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.files import files_below, read_json, sha256_file, sha256_json
from xmodbench.plugins.discovery import Location

BUILT = "xmodbench.json"
"""File in an environment's folder, written last: what is in it."""
CONDA = (".yaml", ".yml")


@dataclass(frozen=True)
class OwnEnvironment:
    """The environment that a plugin asks for, whether it is built or not.

    Attributes:
        plugin: its id.
        file: requirements, or a conda YAML.
        folder: where it is kept, by what decides it.
    """

    plugin: str
    file: Path
    folder: Path

    @property
    def by_conda(self) -> bool:
        """Whether conda makes it, and not uv."""
        return self.file.suffix in CONDA

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def is_built(self) -> bool:
        """Whether it is there, and whole."""
        return (self.folder / BUILT).is_file()

    @property
    def contents(self) -> dict[str, Any]:
        """What was noted when it was built.

        ``python`` (its version), ``interpreter``, ``base`` (folder of Python itself), ``site`` (folders of packages),
        ``packages`` (versions by name), ``builder``.
        """
        return read_json(self.folder / BUILT)

    def facts(self) -> dict[str, Any]:
        """For the record of a job that runs in it."""
        found = self.contents
        kept = {key: found[key] for key in ("python", "packages")}
        return {"environment": {"file": self.file.name, "sha256": sha256_file(self.file), **kept}}


def environment_of(location: Location) -> OwnEnvironment | None:
    """The environment that a method's YAML names; None for most.

    Raises:
        UserError: the YAML is not valid, or the file that it names is not there.
    """
    name = location.meta().get("environment")
    if name is None:
        return None
    file = location.folder.resolve() / name
    python = "" if file.suffix in CONDA else ".".join(map(str, sys.version_info[:2]))
    key = sha256_json([_content(file), python, platform.machine(), platform.system()])[:16]
    return OwnEnvironment(location.id, file, cache_folder() / f"{location.id}-{key}")


def _content(file: Path) -> dict[str, str]:
    """Hashes of the file and of what lies beside it that it names, such as wheels or further requirements."""
    words = re.split(r"[\s=@'\"]+", file.read_text(encoding="utf-8", errors="replace"))
    beside = [file.parent / word.removeprefix("file:").removeprefix("./") for word in words if word.strip("./")]
    named = {found for path in beside if path.is_relative_to(file.parent) for found in _files(path)}
    return {path.relative_to(file.parent).as_posix(): sha256_file(path) for path in sorted({file, *named})}


def _files(path: Path) -> list[Path]:
    try:
        return [path] if path.is_file() else [found for found in files_below(path) if found.is_file()]
    except (OSError, ValueError):  # too long for a name
        return []


def cache_folder() -> Path:
    """Folder of this user's environments, under ``XDG_CACHE_HOME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmodbench" / "environments"
