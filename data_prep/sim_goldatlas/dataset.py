"""A stand-in for Gold Atlas: simulated CT and MR of pelves, as DICOM in the layout of the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xmodbench.files import read_json, sha256_files, sha256_json
from xmodbench.volumes.ct_mr import CtMrConfig, CtMrDataset

if TYPE_CHECKING:
    from xmodbench.progress import Progress

SHARES = {"1": 8, "2": 7, "3": 4}


class SimGoldAtlasConfig(CtMrConfig):
    """What to simulate, and the same preparation as Gold Atlas'."""

    n_subjects: int = Field(19, ge=3, le=60, description="Patients to simulate, at the three sites in turn of 8:7:4.")
    scale: float = Field(
        1.0, ge=1, le=5, description="Voxel size relative to Gold Atlas'; 2.5 is fifteen times as quick as 1."
    )
    subject_pattern: str = Field(r"(?P<site>[123])_[5-9]\d_P", description="A patient's name, with the site.")


class SimGoldAtlas(CtMrDataset):
    """Simulated pelves; their numbers must never stand beside real ones."""

    simulated = True
    Config = SimGoldAtlasConfig
    series: ClassVar = {"CT": ("CT", "CTtoMR"), "T1": ("MR", "T1"), "T2": ("MR", "T2")}

    def subjects(self) -> list[str]:
        """Names that no patient of Gold Atlas has: numbers from 51."""
        n = self.settings.n_subjects
        counts = {site: max(1, round(n * share / 19)) for site, share in SHARES.items()}
        counts["1"] += n - sum(counts.values())
        return [f"{site}_{51 + number}_P" for site, count in counts.items() for number in range(count)]

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Simulate the patients that are not there yet for this seed and scale, and make volumes of their series."""
        from .simulate import remove_patient, simulate_patient

        raw_dir = Path(raw_dir)
        raw_dir.mkdir(parents=True, exist_ok=True)
        recipe = self._recipe(seed)
        waiting = [name for name in self.subjects() if not self._is_made(raw_dir, name, recipe)]
        for name in progress.track(waiting, "simulate", total=len(waiting)):
            remove_patient(raw_dir, name)
            (raw_dir / "volumes" / name / "series.json").unlink(missing_ok=True)
            simulate_patient(raw_dir, name, seed, self.settings.scale, {"recipe": recipe})
        self.convert(raw_dir, progress)

    def volumes(self, raw_dir: Path) -> list:
        """The patients that are asked for; more may lie there from another run."""
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
        return (raw_dir / name).is_dir() and truth.is_file() and read_json(truth).get("recipe") == recipe
