"""What simulated data sets share: subjects are made once for a seed and a recipe, and made anew when either changes."""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xmodbench.files import read_json, sha256_json
from xmodbench.plugins import Dataset

if TYPE_CHECKING:
    from xmodbench.plugins import SubjectRecord
    from xmodbench.progress import Progress


class SimulatedDataset(Dataset):
    """To be put before a data set that finds the volumes: ``class SimHeads(SimulatedDataset, PatternDataset)``.

    The numbers of a simulated set must never stand beside real ones, which is what ``simulated`` is for.

    Attributes:
        scan_settings: fields of ``Config`` that decide the scans; the others only how they are prepared.
    """

    simulated: ClassVar[bool] = True
    scan_settings: ClassVar[tuple[str, ...]] = ("scale",)

    @abstractmethod
    def subjects(self) -> list[str]:
        """The names that are asked for; none that a subject of the real set has."""

    @abstractmethod
    def simulate(self, raw_dir: Path, subject: str, seed: int, truth: dict) -> None:
        """Write one subject's scans and, last, ``<subject>-truth.json`` with what was drawn and `truth`."""

    @abstractmethod
    def made(self, raw_dir: Path, subject: str) -> list[Path]:
        """What `simulate` writes for a subject beside the truth."""

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Simulate the subjects that are not there yet for this seed, these settings and this code."""
        raw_dir = Path(raw_dir)
        raw_dir.mkdir(parents=True, exist_ok=True)
        recipe = self._recipe(seed)
        waiting = [name for name in self.subjects() if not self._is_made(raw_dir, name, recipe)]
        for name in progress.track(waiting, "simulate", total=len(waiting)):
            # without its truth a subject counts as not made, whatever a killed job leaves
            (raw_dir / f"{name}-truth.json").unlink(missing_ok=True)
            self.simulate(raw_dir, name, seed, {"recipe": recipe})

    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """The subjects that are asked for; more may lie there from another run."""
        wanted = set(self.subjects())
        found = super().volumes(raw_dir)  # type: ignore[safe-super]  # of the class that this one is put before
        return [record for record in found if record.subject in wanted]

    def outdated(self, raw_dir: Path, seed: int) -> str | None:
        """A subject that was simulated with other settings, another seed or other code, or not at all."""
        recipe = self._recipe(seed)
        other = next((name for name in self.subjects() if not self._is_made(Path(raw_dir), name, recipe)), None)
        return other and f"{other} was not simulated with these settings, this seed and this code"

    def _recipe(self, seed: int) -> str:
        """What decides the scans."""
        from xmodbench.plugins.code_hash import files_hash

        here = Path(str(sys.modules[type(self).__module__].__file__))
        # what a plugin has in a file beside dataset.py; that one describes the preparation, which is not simulated
        own = sorted(path for path in here.parent.glob("*.py") if path != here) if here.name == "dataset.py" else []
        decisive = [seed, *(getattr(self.settings, name) for name in self.scan_settings)]
        return sha256_json([*decisive, files_hash(*(own or [here]))])[:16]

    def _is_made(self, raw_dir: Path, subject: str, recipe: str) -> bool:
        truth = raw_dir / f"{subject}-truth.json"
        there = truth.is_file() and all(path.exists() for path in self.made(raw_dir, subject))
        return there and read_json(truth).get("recipe") == recipe
