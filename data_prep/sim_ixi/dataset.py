"""A stand-in for IXI: simulated T1 and PD scans with IXI's names, grids and contrasts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import SliceSelection, Split
from xmodbench.plugins.settings import Modality

PATTERNS = {"t1": "{subject}-T1.nii.gz", "pd": "{subject}-PD.nii.gz"}


class SimIxiConfig(PatternConfig):
    """What to simulate, and the same preparation as IXI's."""

    n_subjects: int = Field(125, ge=2, le=150, description="Subjects to simulate.")
    scale: float = Field(1.0, ge=1, le=4, description="Voxel size relative to IXI's; 2 is eight times as quick as 1.")
    patterns: dict[Modality, str] = Field(PATTERNS, description="File names.")
    subject_pattern: str = Field(r"IXI[789]\d{2}-(?P<site>SIM)-\d{4}", description="A subject's name.")
    reference: str | None = Field("pd", description="PD is axial, T1 sagittal: PD's grid is kept.")
    registration: Literal["none", "rigid"] = Field("rigid", description="T1 to PD; `none` believes the headers.")
    fov_mm: float | None = Field(240.0, gt=0, description="Side of the square field of view.")
    slices: SliceSelection = Field(SliceSelection(fractions=(0.45, 0.55, 0.65)), description="Heights within the head.")
    split: Split = Field(Split(), description="Division into training and test subjects.")


class SimIxi(SimulatedDataset, PatternDataset):
    """Simulated heads; their numbers must never stand beside real ones."""

    Config = SimIxiConfig

    def subjects(self) -> list[str]:
        """Names that no subject of IXI has: 901 to 999, then 801 and on."""
        numbers = range(1, self.settings.n_subjects + 1)
        return [f"IXI{900 + n if n < 100 else 701 + n}-SIM-{n:04d}" for n in numbers]

    def simulate(self, raw_dir: Path, subject: str, seed: int, truth: dict) -> None:
        """A T1 and a PD scan."""
        from .simulate import simulate_subject

        simulate_subject(raw_dir, subject, seed, self.settings.scale, truth)

    def made(self, raw_dir: Path, subject: str) -> list[Path]:
        """The two scans."""
        return [raw_dir / pattern.replace("{subject}", subject) for pattern in PATTERNS.values()]
