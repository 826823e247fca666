"""requirements.lock, read: pinned packages, their hashes, and who asked for them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from packaging.markers import Marker

LINUX = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
"""What markers say of conda's ``linux-64``; versions of Python come beside it."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$")
_HASH = re.compile(r"^    --hash=(?P<hash>sha256:[0-9a-f]+)")
_VIA = re.compile(r"^    #(?: via)?\s+(?P<parent>[A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class Pin:
    """A package in one version, where its marker holds."""

    name: str
    version: str
    marker: str | None = None
    hashes: list[str] = field(default_factory=list)

    def holds(self, python: str) -> bool:
        """Whether it is for Linux on x86-64 with this Python, such as ``3.11``."""
        versions = {"python_version": python, "python_full_version": f"{python}.0", "implementation_version": python}
        return self.marker is None or Marker(self.marker).evaluate(LINUX | versions)

    def requirement(self) -> str:
        """As pip's ``--require-hashes`` wants it, without the marker."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={digest}" for digest in self.hashes)])


@dataclass(frozen=True)
class Lock:
    """Attributes:
    pins: in the lock's order; a package may have several, for different Pythons.
    parents: by package, who asked for it (uv's ``# via`` lines).
    """

    pins: list[Pin]
    parents: dict[str, set[str]]

    @classmethod
    def read(cls, text: str) -> Lock:
        """The text of a lock that uv wrote."""
        pins: list[Pin] = []
        parents: dict[str, set[str]] = {}
        for line in text.splitlines():
            if pin := _PIN.match(line):
                pins.append(Pin(bare(pin["name"]), pin["version"], pin["marker"]))
                parents.setdefault(pins[-1].name, set())
            elif (digest := _HASH.match(line)) and pins:
                pins[-1].hashes.append(digest["hash"])
            elif (via := _VIA.match(line)) and pins:
                parents[pins[-1].name].add(bare(via["parent"]))
        return cls(pins, parents)

    def needed_by(self, direct: Collection[str], without: Collection[str] = ()) -> list[Pin]:
        """Pins that these packages need, themselves included; neither some others, nor what nothing but those needs."""
        keep, grown = {name for name in direct if name in self.parents}.difference(without), True
        while grown:
            more = {name for name, asked_by in self.parents.items() if asked_by & keep}.difference(keep, without)
            keep, grown = keep | more, bool(more)
        return [pin for pin in self.pins if pin.name in keep]

    def version(self, name: str) -> str:
        """Version of a package that has only one."""
        (found,) = {pin.version for pin in self.pins if pin.name == name}
        return found


def bare(requirement: str) -> str:
    """Name of the package in a requirement, as the lock spells it."""
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower().replace("_", "-")
