"""CuRIOUS: T1 and T2-FLAIR of RESECT, on the grids of EASY-RESECT (doi 10.11582/2020.00025)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import Normalisation, SliceSelection, Spacing, Split
from xmodbench.errors import UserError
from xmodbench.files import files_below, relative_name
from xmodbench.plugins import RemoteFile
from xmodbench.plugins.settings import Modality

if TYPE_CHECKING:
    from xmodbench.progress import Progress

EASY = RemoteFile(
    "EASY-RESECT.zip",
    ("https://ns9999k.webs.sigma2.no/10.11582_2020.00025/EASY-RESECT.zip",),
    note="where EASY-RESECT.zip cannot be had, the like of it is made from RESECT's files, three for each of 23 cases",
)
RESECT = (
    "https://data.archive.sigma2.no/dataset/5686d8fa-2003-4837-8e66-8e887fabe21e/download/RESECT/NIFTI"
)  # fmt: skip
CASES = (*range(1, 9), *range(11, 20), 21, *range(23, 28))
# size and MD5 where the archive's table of contents is known
KNOWN = {
    "Case4-T1": (8_763_797, "e2db363c6ce57e83663b4de2f95c2ed0"),
    "Case4-FLAIR": (6_550_243, "e50cfb97bbf1c4424034889413bc2fcc"),
}
MODALITIES = {"t1": "T1", "flair": "FLAIR"}
MANUAL = (
    "put EASY-RESECT.zip (doi 10.11582/2020.00025), or RESECT's folder NIFTI (doi 10.11582/2017.00004), there by hand"
)
BACK = "to go back to EASY-RESECT, delete RESECT-resized (and NIFTI, where you put it there)"


class CuriousConfig(PatternConfig):
    """Every fifth slice of 0.5 mm of 22 cases, 128 x 128 pixels of 1 mm: 17 train, 5 test."""

    patterns: dict[Modality, str] = Field(
        {key: f"*/NIFTI/{{subject}}/{{subject}}-{name}-resize.nii" for key, name in MODALITIES.items()},
        description="File names; the first folder is EASY-RESECT, or RESECT-resized where that was made here.",
    )
    subject_pattern: str = Field(r"Case\d+", description="A case's name.")
    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing] | None = Field(
        (1.0, 1.0, 0.5),
        description="The paper's voxel size, in the order of the file's axes (128, 128 and 288 voxels).",
    )
    axis: Literal["axial", "coronal", "sagittal", "stored"] = Field(
        "stored",
        description="Across the axis of 288 voxels, as the paper's counts suggest: the grid follows the ultrasound, so that "
        "it need not run upwards.",
    )
    slices: SliceSelection = Field(SliceSelection(stride_slices=5), description="One slice of 0.5 mm in five.")
    normalise: dict[str, Normalisation] = Field(
        {name: Normalisation(floor=0) for name in MODALITIES},
        description="Values below 0, left by an interpolation, become 0; then percentiles 0.5 and 99.5 in the head.",
    )
    split: Split = Field(
        Split(file=str(Path(__file__).with_name("split.csv")), n_train=17, n_test=5),
        description="`data_prep/curious/split.csv`: the first 17 cases by number train, the last 5 test; Case21 is the "
        "spare for one that EASY-RESECT lacks.",
    )
    check_contrast: bool = Field(
        True, description="Refuse volumes whose contrast says that T1 and FLAIR are exchanged in most cases."
    )


class Curious(FromArchives, PatternDataset):
    """T1 and FLAIR as EASY-RESECT gives them, else made from RESECT the same way."""

    Config = CuriousConfig

    def archives(self) -> list[RemoteFile]:
        """EASY-RESECT; its stand-in, made from RESECT's files, is fetched only where that cannot be had."""
        return [EASY]

    def needed(self, raw_dir: Path) -> list[RemoteFile]:
        """EASY-RESECT, unless the like of it is made from RESECT here."""
        return [] if self._is_rebuilt(Path(raw_dir)) else super().needed(raw_dir)

    def present(self, archive: RemoteFile, raw_dir: Path) -> bool:
        """Whether there are volumes as the settings name them."""
        try:
            return bool(self.volumes(raw_dir))
        except UserError:
            return False

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Fetch and unpack EASY-RESECT, or make the like of it from RESECT.

        Raises:
            UserError: neither can be had, T1 and FLAIR look exchanged, or the disk is full.
        """
        raw_dir = Path(raw_dir)
        if self._is_rebuilt(raw_dir):
            progress.say(f"made from RESECT; {BACK}")
            self._rebuild(raw_dir, progress)
        else:
            self._unpack_or_rebuild(raw_dir, progress)
        super().acquire(raw_dir, seed, progress)
        if self.settings.check_contrast and set(MODALITIES) <= set(self.modalities()):
            from .contrast import check_contrast

            check_contrast(self.volumes(raw_dir), raw_dir, progress)

    def _is_rebuilt(self, raw_dir: Path) -> bool:
        """Whether the volumes come from RESECT: some are made, or someone put its folder there."""
        easy = (raw_dir / EASY.name).is_file() or (raw_dir / "EASY-RESECT").is_dir()
        made = any(path.suffix == ".nii" for path in files_below(raw_dir / "RESECT-resized"))
        if easy and made:
            raise UserError(
                "EASY-RESECT and RESECT-resized are both here", raw_dir, "delete one: they are the same cases"
            )
        return made or (not easy and self._has_originals(raw_dir))

    def _has_originals(self, raw_dir: Path) -> bool:
        from xmodbench.data.download.lockfile import LockFile

        # those we fetched are what an earlier job got before it broke off: EASY-RESECT may be there again
        lock = LockFile(raw_dir)
        found = (
            relative_name(path, raw_dir) for path in files_below(raw_dir / "NIFTI") if path.name.endswith(".nii.gz")
        )
        return any(not (lock.file(name) or {}).get("url") for name in found)

    def _unpack_or_rebuild(self, raw_dir: Path, progress: Progress) -> None:
        from xmodbench.data.download.errors import NotFetched
        from xmodbench.data.download.obtain import unpack

        endings = tuple(f"-{name}-resize.nii" for name in MODALITIES.values())
        try:
            unpack(EASY, raw_dir, progress, present=self.present(EASY, raw_dir), endings=endings, flat=False)
        except NotFetched as error:
            progress.say(f"EASY-RESECT.zip {error.what}; making the like of it from RESECT; {BACK}")
            self._rebuild(raw_dir, progress)

    def _rebuild(self, raw_dir: Path, progress: Progress) -> None:
        from xmodbench.data.download.errors import NotFetched

        from .rebuild import rebuild

        try:
            rebuild(raw_dir, {f"Case{case}": self._originals(case) for case in CASES}, progress, MANUAL)
        except NotFetched as error:
            problem = f"neither EASY-RESECT nor all of RESECT is here, and {Path(str(error.where)).name} {error.what}"
            raise UserError(problem, raw_dir, f"run again later, or {MANUAL}") from None

    @staticmethod
    def _originals(case: int) -> dict[str, RemoteFile]:
        """RESECT's files of a case: the two scans, and the ultrasound whose middle is that of the new grid."""
        places = {"T1": "MRI", "FLAIR": "MRI", "US-before": "US"}
        found = {}
        for name, folder in places.items():
            path = f"Case{case}/{folder}/Case{case}-{name}.nii.gz"
            size, md5 = KNOWN.get(f"Case{case}-{name}", (None, None))
            found[name] = RemoteFile(f"NIFTI/{path}", (f"{RESECT}/{path}",), size, md5)
        return found
