"""A stand-in for CuRIOUS: simulated T1 and FLAIR with EASY-RESECT's names and grids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from xmodbench.config import Modality
from xmodbench.files import read_json, sha256_files, sha256_json
from xmodbench.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.volumes.settings import Normalisation, SliceSelection, Split

if TYPE_CHECKING:
    from xmodbench.progress import Progress

MODALITIES = {"t1": "T1", "flair": "FLAIR"}


class SimCuriousConfig(PatternConfig):
    """What to simulate, and the same preparation as CuRIOUS'."""

    n_subjects: int = Field(22, ge=2, le=90, description="Cases to simulate.")
    scale: float = Field(
        1.0, ge=1, le=4, description="Voxel size relative to EASY-RESECT's; 2 is eight times as quick as 1."
    )
    patterns: dict[Modality, str] = Field(
        {key: f"*/NIFTI/{{subject}}/{{subject}}-{name}-resize.nii" for key, name in MODALITIES.items()},
        description="File names.",
    )
    subject_pattern: str = Field(r"Case9\d\d", description="A case's name.")
    slices: SliceSelection = Field(SliceSelection(stride_slices=5), description="One slice in five.")
    normalise: dict[str, Normalisation] = Field(
        {name: Normalisation(floor=0) for name in MODALITIES},
        description="Values below 0, left by an interpolation, become 0; then percentiles 0.5 and 99.5 in the head.",
    )
    split: Split = Field(Split(), description="Division into training and test cases.")


class SimCurious(PatternDataset):
    """Simulated heads with tumours; their numbers must never stand beside real ones."""

    simulated = True
    Config = SimCuriousConfig

    def subjects(self) -> list[str]:
        """Names that no case of RESECT has: from 901."""
        return [f"Case{901 + number}" for number in range(self.settings.n_subjects)]

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Simulate the cases that are not there yet for this seed and scale."""
        from .simulate import simulate_case

        raw_dir = Path(raw_dir)
        raw_dir.mkdir(parents=True, exist_ok=True)
        recipe = self._recipe(seed)
        waiting = [name for name in self.subjects() if not self._is_made(raw_dir, name, recipe)]
        for name in progress.track(waiting, "simulate", total=len(waiting)):
            (raw_dir / f"{name}-truth.json").unlink(missing_ok=True)
            simulate_case(raw_dir, name, seed, self.settings.scale, {"recipe": recipe})

    def volumes(self, raw_dir: Path) -> list:
        """The cases that are asked for; more may lie there from another run."""
        wanted = set(self.subjects())
        return [record for record in super().volumes(raw_dir) if record.subject in wanted]

    def _recipe(self, seed: int) -> str:
        """What the scans are made from: a change makes them anew."""
        import xmodbench.volumes.simulate as machinery

        own, shared = Path(__file__).parent, Path(machinery.__file__).parent
        code = [sha256_files(folder.glob("*.py"), folder) for folder in (own, shared)]
        return sha256_json([seed, self.settings.scale, *code])[:16]

    def _is_made(self, raw_dir: Path, name: str, recipe: str) -> bool:
        truth, folder = raw_dir / f"{name}-truth.json", raw_dir / "EASY-RESECT" / "NIFTI" / name
        files = [folder / f"{name}-{modality}-resize.nii" for modality in MODALITIES.values()]
        return truth.is_file() and all(f.is_file() for f in files) and read_json(truth).get("recipe") == recipe
