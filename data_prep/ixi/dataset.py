"""IXI: T1- and PD-weighted brain scans (https://brain-development.org/ixi-dataset/)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import SliceSelection, Split
from xmodbench.plugins import RemoteFile
from xmodbench.plugins.settings import Modality

if TYPE_CHECKING:
    from xmodbench.progress import Progress

URL = "https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
# bytes and MD5 of the archives, unchanged since October 2014
ARCHIVES = {
    "IXI-T1.tar": (4_840_816_640, "34901a0593b41dd19c1a1f746eac2d58"),
    "IXI-PD.tar": (4_068_966_400, "88ecd9d1fa33cb4a2278183b42ffd749"),
}
DROPPED = "left out by another group, for a reason it does not give; not checked here"
EXCLUDE = {
    "IXI014-HH-1236": "PD of 0.898 mm in plane and 4.98 mm between slices",
    "IXI533-Guys-1066": DROPPED,
    "IXI593-Guys-1109": DROPPED,
    "IXI630-Guys-1108": DROPPED,
}


class IxiConfig(PatternConfig):
    """Three axial slices of 125 subjects, as the paper's 300 training and 75 test pairs suggest."""

    patterns: dict[Modality, str] = Field(
        {"t1": "{subject}-T1.nii.gz", "pd": "{subject}-PD.nii.gz"}, description="File names."
    )
    subject_pattern: str = Field(r"IXI\d{3}-(?P<site>[A-Za-z]+)-\d{4}", description="A subject's name, with its site.")
    reference: str | None = Field("pd", description="PD is axial, T1 sagittal: PD's grid is kept.")
    registration: Literal["none", "rigid"] = Field("rigid", description="T1 to PD; `none` believes the headers.")
    fov_mm: float | None = Field(240.0, gt=0, description="Side of the square field of view.")
    slices: SliceSelection = Field(SliceSelection(fractions=(0.45, 0.55, 0.65)), description="Heights within the head.")
    split: Split = Field(Split(n_train=100, n_test=25), description="The first 100 subjects by name, then 25.")
    exclude: dict[str, str] = Field(EXCLUDE, description="Subjects left out, with the reason.")


class Ixi(FromArchives, PatternDataset):
    """IXI's T1 and PD scans; T1 is aligned to PD (they are not aligned as distributed)."""

    Config = IxiConfig

    def archives(self) -> list[RemoteFile]:
        """The two archives, free to fetch."""
        return [RemoteFile(name, (f"{URL}/{name}",), size, md5) for name, (size, md5) in ARCHIVES.items()]

    def present(self, archive: RemoteFile, raw_dir: Path) -> bool:
        """Whether there are volumes of the archive's modality."""
        return any(Path(raw_dir).glob(f"*{_ending(archive)}"))

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Fetch and unpack the two archives; volumes that lie there without them are the user's own.

        Raises:
            UserError: they cannot be had, or are not the published ones.
        """
        from xmodbench.data.download.obtain import unpack

        for file in self.archives():
            unpack(file, raw_dir, progress, present=self.present(file, raw_dir), endings=(_ending(file),))
        super().acquire(raw_dir, seed, progress)


def _ending(archive: RemoteFile) -> str:
    """``-T1.nii.gz`` for ``IXI-T1.tar``."""
    return archive.name.removeprefix("IXI").removesuffix(".tar") + ".nii.gz"
