"""A stand-in for CuRIOUS: simulated T1 and FLAIR with EASY-RESECT's names and grids."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import Normalisation, SliceSelection, Split
from xmodbench.plugins.settings import Modality

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


class SimCurious(SimulatedDataset, PatternDataset):
    """Simulated heads with tumours; their numbers must never stand beside real ones."""

    Config = SimCuriousConfig

    def subjects(self) -> list[str]:
        """Names that no case of RESECT has: from 901."""
        return [f"Case{901 + number}" for number in range(self.settings.n_subjects)]

    def simulate(self, raw_dir: Path, subject: str, seed: int, truth: dict) -> None:
        """A T1 and a FLAIR scan of a head with a glioma."""
        from .simulate import simulate_case

        simulate_case(raw_dir, subject, seed, self.settings.scale, truth)

    def made(self, raw_dir: Path, subject: str) -> list[Path]:
        """The two scans."""
        folder = raw_dir / "EASY-RESECT" / "NIFTI" / subject
        return [folder / f"{subject}-{name}-resize.nii" for name in MODALITIES.values()]
