"""Which slices a job of a translation translates, and what their random numbers come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xmodbench.errors import UserError
from xmodbench.plugins.shape import Shape
from xmodbench.stages.wall.staging import stacks
from xmodbench.store import SliceStore


@dataclass(frozen=True)
class Part:
    """The ``number``-th (from 1) of ``count`` nearly equal runs of slices."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """``"2/8"``; UserError where it says nothing."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(f"'{text:.40}' is no part", "--part", "give K/N with K from 1 to N, such as 2/8")
        return cls(int(found[1]), int(found[2]))

    def of(self, n: int) -> slice:
        """Its slices among `n`; may be none where there are more parts than slices."""
        return slice((self.number - 1) * n // self.count, self.number * n // self.count)


WHOLE = Part()


def rows_of_part(store: SliceStore, part: Part, shape: Shape) -> tuple[range, list[list[int]] | None]:
    """Rows of a part's slices; of a method that is handed volumes, each volume's among them too, counted from the first.

    Raises:
        UserError: there are none, or a volume's slices do not lie side by side in the store.
    """
    found = stacks(store) if shape.volumes else None
    chosen = part.of(len(store.ids) if found is None else len(found))
    if chosen.start == chosen.stop:
        what = f"{len(store.ids)} slices" if found is None else f"{len(found)} volumes"
        raise UserError(
            f"part {part.number} of {part.count} of {what} is empty", store.directory, "lower translate_jobs"
        )
    if found is None:
        return range(chosen.start, chosen.stop), None
    own = found[chosen]
    rows = range(min(own[0]), max(own[-1]) + 1)
    if sorted(row for stack in own for row in stack) != list(rows):
        raise UserError("slices of several subjects lie mixed", store.directory, "prepare the data set again")
    return rows, [[row - rows.start for row in stack] for stack in own]


def seeded(store: SliceStore, rows: Sequence[int], volumes: list[list[int]] | None) -> list[str]:
    """Ids of the slices that generators are seeded by: all that are translated, or each volume's lowest.

    Args:
        volumes: of each, places within `rows`.
    """
    places = range(len(rows)) if volumes is None else [stack[0] for stack in volumes]
    return [store.ids[rows[place]] for place in places]
