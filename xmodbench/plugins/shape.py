"""How much of a subject a method is handed at once, as its class declares it: modalities, neighbouring slices, volumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from xmodbench.directions import modalities_of
from xmodbench.errors import UserError

MOST_SOURCES, MOST_NEIGHBOURS = 16, 32


@dataclass(frozen=True)
class Shape:
    """What a method declares (`xmodbench.plugins.Method`); by default single slices of a single source.

    Attributes:
        sources: the least and the most source modalities it can translate from.
        neighbours: slices on each side that come along with a slice, as channels.
        volumes: whether it is handed whole volumes in place of slices.

    Raises:
        UserError: no such shape can be handed out.
    """

    sources: tuple[int, int] = (1, 1)
    neighbours: int = 0
    volumes: bool = False

    def __post_init__(self) -> None:
        least_and_most = self.sources
        if not (
            isinstance(least_and_most, (tuple, list))
            and [type(number) for number in least_and_most] == [int, int]
            and 1 <= least_and_most[0] <= least_and_most[1] <= MOST_SOURCES
        ):
            problem = f"is {least_and_most!r:.40}, no least and most of source modalities"
            raise UserError(problem, "sources", f"write (2, 2), or (1, 3); at most {MOST_SOURCES}")
        object.__setattr__(self, "sources", tuple(least_and_most))
        if type(self.neighbours) is not int or not 0 <= self.neighbours <= MOST_NEIGHBOURS:
            problem = f"is {self.neighbours!r:.40}, no number of slices on each side"
            raise UserError(problem, "neighbours", f"write one from 0 to {MOST_NEIGHBOURS}")
        if type(self.volumes) is not bool:
            raise UserError(f"is {self.volumes!r:.40}, neither True nor False", "volumes")
        if self.volumes and self.neighbours:
            raise UserError("are of no use to a method that is handed volumes", "neighbours", "leave them out")

    @classmethod
    def of(cls, method: Any) -> Shape:
        """What a method declares, or its class, which of `neighbours` by the settings can only say that there may be."""
        neighbours = 1 if isinstance(method.neighbours, property) else method.neighbours
        return cls(method.sources, neighbours, method.volumes)

    @property
    def plain(self) -> bool:
        """Whether it is handed single slices."""
        return not self.neighbours and not self.volumes

    def serves(self, source: str) -> bool:
        """Whether it can translate from a source, or from several (``t1+t2``)."""
        return self.sources[0] <= len(modalities_of(source)) <= self.sources[1]

    def check(self, source: str, where: str) -> None:
        """Raise UserError unless it serves a source."""
        if not self.serves(source):
            count = len(modalities_of(source))
            problem = f"takes {self.counted()}, and '{source}' is {count}"
            raise UserError(problem, where, f"name {self.counted()}, or declare `sources` otherwise in its class")

    def counted(self) -> str:
        """How many source modalities it takes, in words."""
        least, most = self.sources
        number = str(least) if least == most else f"{least} to {most}"
        return "one source modality" if most == 1 else f"{number} source modalities"

    def told(self) -> str:
        """What it is handed, in words."""
        if self.volumes:
            return f"whole volumes of {self.counted()}"
        beside = f", each with the {self.neighbours} below and above it" if self.neighbours else ""
        return f"slices of {self.counted()}{beside}"

    def facts(self) -> dict[str, Any]:
        """What a record says of it: nothing of the slices that most methods are handed."""
        return {} if self == Shape() else {"handed": {**asdict(self), "sources": list(self.sources)}}
