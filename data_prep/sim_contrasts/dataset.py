"""Simulated heads in five contrasts, for one model of a target and several sources."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import Normalisation, SliceSelection, Split
from xmodbench.plugins.settings import Modality

MODALITIES = ("t1", "pd", "t2", "flair", "ct")


class SimContrastsConfig(PatternConfig):
    """What to simulate, and a preparation like IXI's."""

    n_subjects: int = Field(36, ge=2, le=150, description="Subjects to simulate.")
    scale: float = Field(1.0, ge=1, le=4, description="Voxel size relative to IXI's; 2 is eight times as quick as 1.")
    patterns: dict[Modality, str] = Field(
        {name: f"{{subject}}-{name.upper()}.nii.gz" for name in MODALITIES}, description="File names."
    )
    subject_pattern: str = Field(r"Head\d{3}", description="A subject's name.")
    reference: str | None = Field("t1", description="Whose grid is kept; all have the same.")
    registration: Literal["none", "rigid"] = Field(
        "none", description="To the reference; `none` believes the headers, which are right."
    )
    fov_mm: float | None = Field(240.0, gt=0, description="Side of the square field of view.")
    slices: SliceSelection = Field(SliceSelection(fractions=(0.45, 0.55, 0.65)), description="Heights within the head.")
    normalise: dict[str, Normalisation] = Field(
        {"ct": Normalisation(method="window", low=0, high=80, fill=-1000, mask_above=-500)},
        description="CT by a brain window; MR between percentiles 0.5 and 99.5 in the head.",
    )
    split: Split = Field(Split(), description="Division into training and test subjects.")


class SimContrasts(SimulatedDataset, PatternDataset):
    """Simulated heads; their numbers must never stand beside real ones."""

    Config = SimContrastsConfig

    def subjects(self) -> list[str]:
        """``Head001`` and on."""
        return [f"Head{number:03d}" for number in range(1, self.settings.n_subjects + 1)]

    def simulate(self, raw_dir: Path, subject: str, seed: int, truth: dict) -> None:
        """Five scans of one head."""
        from .simulate import simulate_head

        simulate_head(raw_dir, subject, seed, self.settings.scale, truth)

    def made(self, raw_dir: Path, subject: str) -> list[Path]:
        """The five scans."""
        return [raw_dir / f"{subject}-{name.upper()}.nii.gz" for name in MODALITIES]
