"""Grey values of predictions to [0, 1]: what their unit says, and what contradicts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xmodbench.errors import UserError
from xmodbench.plan.config import Units
from xmodbench.store import SliceStore

OVERSHOOT = 0.1
"""So far beyond 0 and 1 a network may shoot, and is clipped; further out the unit is wrong."""
AIR_HU = -300.0
"""Every CT slice has air in it, or beside the patient, far below this."""


def window_of(store: SliceStore, modality: str) -> tuple[float, float]:
    """The Hounsfield units that become 0 and 1 in a store's slices of a modality.

    Raises:
        UserError: the store maps it otherwise than by one fixed window.
    """
    how = ((store.manifest.get("settings") or {}).get("normalise") or {}).get(modality) or {}
    if how.get("method") != "window":
        problem = f"its {modality.upper()} is not mapped to [0, 1] by a fixed window, so values in HU cannot be placed"
        raise UserError(problem, store.directory, "give values in [0, 1] and --units unit")
    return float(how["low"]), float(how["high"])


@dataclass
class Scale:
    """From a unit to [0, 1], with a look at all values together.

    Attributes:
        window: in HU; None where values are in [0, 1] already.
        low, high: of all values so far, in their unit.
        clipped: how many lay beyond [0, 1] and were clipped.
    """

    window: tuple[float, float] | None
    low: float = np.inf
    high: float = -np.inf
    clipped: int = 0
    eight_in_sixteen: bool = field(default=True, repr=False)  # no 16-bit image so far has a value above 255
    sixteen: bool = field(default=False, repr=False)

    @classmethod
    def of(cls, units: Units, store: SliceStore, modality: str) -> Scale:
        """That of a unit for a store's modality."""
        return cls(window_of(store, modality) if units == "hu" else None)

    def bits(self, values: np.ndarray, path: Path) -> np.ndarray:
        """Whole numbers of a PNG, uint8 or uint16, as shares of their range.

        Raises:
            UserError: the unit is HU, which no PNG holds.
        """
        if self.window is not None:
            raise UserError("a PNG holds no HU", path, "give --units unit, or volumes or npy in HU")
        if values.dtype == np.uint16:
            self.sixteen = True
            self.eight_in_sixteen &= int(values.max()) <= 255
        return values.astype(np.float32) / np.iinfo(values.dtype).max

    def unit(self, values: np.ndarray, path: Path) -> np.ndarray:
        """Values as float32 in [0, 1].

        Raises:
            UserError: they are not finite, or contradict their unit.
        """
        values = np.asarray(values, np.float32)
        if bad := values.size - int(np.isfinite(values).sum()):
            raise UserError(f"{bad:,} values are NaN or infinite", path, "mend the method, or replace them")
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.window is not None:
            start, end = self.window
            return np.clip((values - start) / (end - start), 0, 1)
        if low < -OVERSHOOT or high > 1 + OVERSHOOT:
            raise UserError(f"values from {low:.4g} to {high:.4g}, expected [0, 1]", path, _what_instead(low, high))
        self.clipped += int(((values < 0) | (values > 1)).sum())
        return np.clip(values, 0, 1)

    def check(self, folder: Path) -> None:
        """Raise UserError where all values together contradict their unit."""
        if self.sixteen and self.eight_in_sixteen:
            problem = "16-bit PNGs without a value above 255: 8-bit greys, which would count as nearly black"
            raise UserError(problem, folder, "save them as 8-bit PNG, or scale them to 65535")
        if self.window is None:
            return
        start, _ = self.window
        if start < AIR_HU and self.low > AIR_HU:
            problem = f"values from {self.low:.4g} to {self.high:.4g} are no HU of whole slices: air is -1000"
            raise UserError(problem, folder, "give --units unit where they are in [0, 1]; set the background to air")


def _what_instead(low: float, high: float) -> str:
    """What may be done about values that are not in [0, 1]."""
    if -1.2 <= low < -OVERSHOOT and high <= 1.2:
        return "from -1 to 1, as tanh gives them: save (x + 1) / 2"
    if low >= 0 and high <= 255:
        return "8-bit greys: divide them by 255"
    return "give --units hu where they are HU, else scale them as the inputs are"
