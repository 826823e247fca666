"""A method's job as it is asked for, before any of the method's code has run; and what the method says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xmodbench.directions import first_of
from xmodbench.plugins.discovery import Location
from xmodbench.plugins.shape import Shape
from xmodbench.progress import Progress


@dataclass(frozen=True)
class MethodJob:
    """A method's job as the command line asks for it; nothing of the method has been imported.

    Attributes:
        name: of the method in the run.
        settings: the plugin's options, JSON.
        threads: of this process; several processes of one training share them.
        tf32: whether a GPU may round to TF32.
        gpus: that the workflow asked for this job; 0 where it was started by hand.
    """

    name: str
    location: Location
    settings: dict[str, Any]
    seed: int
    device: str
    threads: int
    progress: Progress
    tf32: bool = False
    gpus: int = 0

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
    has_model: bool
    shape: Shape
    wanted_slices: int | None = None

    def handed(self, source: str) -> str:
        """Of the sources of a direction what it is handed: a control that takes but one, the first."""
        return first_of(source) if self.control and not self.shape.serves(source) else source

    def traced_settings(self) -> dict[str, Any]:
        """The settings as a record holds them, and what it is handed where that is not single slices."""
        return {"settings": self.settings, "settings_sha256": self.settings_sha256, **self.shape.facts()}
