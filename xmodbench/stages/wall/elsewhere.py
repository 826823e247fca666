"""A process in an environment of a method's own: how it is started, and what it finds there of this one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from xmodbench.files import PACKAGE_ROOT
from xmodbench.plugins.discovery import Location
from xmodbench.plugins.environment import OwnEnvironment
from xmodbench.progress import Progress
from xmodbench.stages.wall.building import ready
from xmodbench.stages.wall.walled import Started, new_python

LENT = ("pydantic", "PyYAML", "numpy", "tqdm")
"""What the harness's side of a job imports: what an environment lacks of it is lent to it."""
NEVER = frozenset({"__pycache__", "bin"})


def elsewhere_of(locations: Iterable[Location], progress: Progress) -> Elsewhere | None:
    """Where a method's process runs: in the environment of the plugin, or of the one whose models it uses; None for most.

    Raises:
        UserError: it cannot be built.
    """
    found = (ready(location, progress) for location in locations)
    return next((Elsewhere(own) for own in found if own is not None), None)


@dataclass(frozen=True)
class Elsewhere:
    """An environment that is built, as the home of a process. `place` is a private folder of that process."""

    environment: OwnEnvironment

    def start(self, channel: int, work: Path, variables: dict[str, str], output: int, held: tuple[int, ...]) -> Started:
        """Start its Python, without `site`: what its packages would have run at the start waits for the wall."""
        command = [self.environment.contents["interpreter"], "-P", "-s", "-S", "-c"]
        return new_python(channel, work, variables, output, held, command)

    def variables(self, found: dict[str, str], place: Path) -> dict[str, str]:
        """Environment variables, from those of a process that runs at home."""
        kept = {name: value for name, value in found.items() if name not in ("PYTHONHOME", "CONDA_PREFIX")}
        path = os.pathsep.join([str(self.environment.python.parent), *filter(None, [found.get("PATH")])])
        return kept | {"PATH": path, "VIRTUAL_ENV": str(self.environment.folder), "PYTHONPATH": str(place / "own")}

    def furnish(self, place: Path) -> list[Path]:
        """Make what it finds of this environment: ``own``, this package, and ``lent``; returns all that it may read.

        Compiled packages are for one version of Python: an environment with another has to have its own.
        """
        own, lent, contents = place / "own", place / "lent", self.environment.contents
        own.mkdir(parents=True)
        lent.mkdir()
        (own / PACKAGE_ROOT.name).symlink_to(PACKAGE_ROOT)
        same = contents["python"].split(".")[:2] == [str(number) for number in sys.version_info[:2]]
        paths = lent_paths() if same else []
        for path in paths:
            (lent / path.name).symlink_to(path)
        return [place, PACKAGE_ROOT, *paths, self.environment.folder, Path(contents["base"])]

    def request(self, place: Path) -> dict[str, Any]:
        """What the process has to know of it, once it is behind its wall (`xmodbench.stages.wall.worker`)."""
        folder, python, file = map(str, (self.environment.folder, self.environment.python, self.environment.file))
        site, lent = self.environment.contents["site"], str(place / "lent")
        return {"prefix": folder, "python": python, "site": site, "lent": lent, "file": file}


def lent_paths() -> list[Path]:
    """Modules and packages of what is lent, with what that requires."""
    found: dict[str, Path] = {}
    names, seen = list(LENT), set()
    while names:
        name = names.pop()
        try:
            dist = distribution(name)
        except PackageNotFoundError:  # of another system or Python
            continue
        if dist.name in seen:
            continue
        seen.add(dist.name)
        names += [re.split(r"[^\w.-]", text)[0] for text in dist.requires or [] if "extra ==" not in text]
        for file in dist.files or []:
            top = file.parts[0]
            if top not in NEVER and top != ".." and not top.endswith((".dist-info", ".pth")):
                found[top] = Path(str(dist.locate_file(top))).resolve()
    return sorted(found.values())
