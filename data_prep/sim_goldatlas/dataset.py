"""A stand-in for Gold Atlas: simulated CT and MR of pelves, as DICOM in the layout of the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.data.volumes.ct_mr import CtMrConfig, CtMrDataset

if TYPE_CHECKING:
    from xmodbench.progress import Progress

SHARES = {"1": 8, "2": 7, "3": 4}


class SimGoldAtlasConfig(CtMrConfig):
    """What to simulate, and the same preparation as Gold Atlas'."""

    n_subjects: int = Field(19, ge=3, le=60, description="Patients to simulate, at the three sites in turn of 8:7:4.")
    scale: float = Field(
        1.0, ge=1, le=5, description="Voxel size relative to Gold Atlas'; 2.5 is fifteen times as quick as 1."
    )
    residual_mm: float = Field(
        1.0,
        ge=0,
        le=3,
        description="By how much the registered CT still lies beside the MR: standard deviation along each axis, mm.",
    )
    subject_pattern: str = Field(r"(?P<site>[123])_[5-9]\d_P", description="A patient's name, with the site.")


class SimGoldAtlas(SimulatedDataset, CtMrDataset):
    """Simulated pelves; their numbers must never stand beside real ones."""

    Config = SimGoldAtlasConfig
    scan_settings: ClassVar = ("scale", "residual_mm")
    series: ClassVar = {"CT": ("CT", "CTtoMR"), "T1": ("MR", "T1"), "T2": ("MR", "T2")}

    def subjects(self) -> list[str]:
        """Names that no patient of Gold Atlas has: numbers from 51."""
        n = self.settings.n_subjects
        counts = {site: max(1, round(n * share / 19)) for site, share in SHARES.items()}
        counts["1"] += n - sum(counts.values())
        return [f"{site}_{51 + number}_P" for site, count in counts.items() for number in range(count)]

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Simulate the patients that are not there yet, and make volumes of their series."""
        super().acquire(raw_dir, seed, progress)
        self.convert(raw_dir, progress)

    def simulate(self, raw_dir: Path, subject: str, seed: int, truth: dict) -> None:
        """A folder of DICOM files; volumes made of an earlier one no longer hold."""
        from .simulate import remove_patient, simulate_patient

        remove_patient(raw_dir, subject)
        (raw_dir / "volumes" / subject / "series.json").unlink(missing_ok=True)
        simulate_patient(raw_dir, subject, seed, self.settings.scale, truth, self.settings.residual_mm)

    def made(self, raw_dir: Path, subject: str) -> list[Path]:
        """The folder of DICOM files, which comes into being whole."""
        return [raw_dir / subject]
