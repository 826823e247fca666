"""A stand-in for IXI: simulated T1 and PD scans with IXI's names, grids and contrasts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from xmodbench.config import Modality
from xmodbench.files import read_json, sha256_files, sha256_json
from xmodbench.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.volumes.prepare import SliceSelection, Split

if TYPE_CHECKING:
    from xmodbench.progress import Progress

PATTERNS = {"t1": "{subject}-T1.nii.gz", "pd": "{subject}-PD.nii.gz"}


class SimIxiConfig(PatternConfig):
    """What to simulate, and the same preparation as IXI's."""

    n_subjects: int = Field(125, ge=2, le=150, description="Subjects to simulate.")
    scale: float = Field(1.0, ge=1, le=4, description="Voxel size relative to IXI's; 2 is eight times as quick as 1.")
    patterns: dict[Modality, str] = Field(
        {"t1": "{subject}-T1.nii.gz", "pd": "{subject}-PD.nii.gz"}, description="File names."
    )
    subject_pattern: str = Field(r"IXI[789]\d{2}-(?P<site>SIM)-\d{4}", description="A subject's name.")
    reference: str | None = Field("pd", description="PD is axial, T1 sagittal: PD's grid is kept.")
    registration: Literal["none", "rigid"] = Field("rigid", description="T1 to PD; `none` believes the headers.")
    fov_mm: float | None = Field(240.0, gt=0, description="Side of the square field of view.")
    slices: SliceSelection = Field(SliceSelection(fractions=(0.45, 0.55, 0.65)), description="Heights within the head.")
    split: Split = Field(Split(), description="Division into training and test subjects.")


class SimIxi(PatternDataset):
    """Simulated heads; their numbers must never stand beside real ones."""

    simulated = True
    Config = SimIxiConfig

    def subjects(self) -> list[str]:
        """Names that no subject of IXI has: 901 to 999, then 801 and on."""
        numbers = range(1, self.settings.n_subjects + 1)
        return [f"IXI{900 + n if n < 100 else 701 + n}-SIM-{n:04d}" for n in numbers]

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Simulate the subjects that are not there yet for this seed and scale."""
        from .simulate import simulate_subject

        raw_dir = Path(raw_dir)
        raw_dir.mkdir(parents=True, exist_ok=True)
        recipe = self._recipe(seed)
        waiting = [name for name in self.subjects() if not self._is_made(raw_dir, name, recipe)]
        for name in progress.track(waiting, "simulate", total=len(waiting)):
            (raw_dir / f"{name}-truth.json").unlink(missing_ok=True)
            simulate_subject(raw_dir, name, seed, self.settings.scale, {"recipe": recipe})

    def volumes(self, raw_dir: Path) -> list:
        """The subjects that are asked for; more may lie there from another run."""
        wanted = set(self.subjects())
        return [record for record in super().volumes(raw_dir) if record.subject in wanted]

    def _recipe(self, seed: int) -> str:
        """What the scans are made from: a change makes them anew."""
        import xmodbench.volumes.simulate as machinery

        own, shared = Path(__file__).parent, Path(machinery.__file__).parent
        code = [sha256_files(folder.glob("*.py"), folder) for folder in (own, shared)]
        return sha256_json([seed, self.settings.scale, *code])[:16]

    def _is_made(self, raw_dir: Path, name: str, recipe: str) -> bool:
        truth = raw_dir / f"{name}-truth.json"
        files = [raw_dir / pattern.replace("{subject}", name) for pattern in self.settings.patterns.values()]
        return truth.is_file() and all(f.is_file() for f in files) and read_json(truth).get("recipe") == recipe
