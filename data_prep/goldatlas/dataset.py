"""Gold Atlas: CT and MR of the male pelvis (https://zenodo.org/records/583096), on request only."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.volumes.ct_mr import CtMrConfig, CtMrDataset
from xmodbench.data.volumes.settings import Spacing, Split
from xmodbench.errors import UserError
from xmodbench.plugins import RemoteFile

if TYPE_CHECKING:
    from xmodbench.progress import Progress

RECORD = 583096
PAGE = f"https://zenodo.org/records/{RECORD}"
PATIENTS = (
    *(f"1_{number:02d}_P" for number in range(1, 9)),
    *(f"2_{number:02d}_P" for number in (3, 4, 5, 6, 9, 10, 11)),
    *(f"3_{number:02d}_P" for number in range(1, 5)),
)
# one archive came as `3_03_P (1).zip`
ARCHIVE = re.compile(r"(\d_\d{2}_P)( ?\(\d\))?\.zip")
HOW = (
    f"request access at {PAGE}, then set ZENODO_SHARE_TOKEN (the part after 'token=' of the link in the answer) or "
    "ZENODO_TOKEN, or put the zips there by hand, as they are"
)
# left out by others, for a reason they do not give: to be looked at, not left out
WATCH = {"2_10_P": "others left this patient out: look at it once prepared (inspect shows it)"}


class GoldAtlasConfig(CtMrConfig):
    """The deformed CT on T1's grid of 0.875 x 0.875 x 3 mm, every slice; sites 1 and 2 train, site 3 tests."""

    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing] | None = Field(
        (0.875, 0.875, 3.0), description="The paper's voxel size; left-right, front-back, up-down."
    )
    split: Split = Field(
        Split(file=str(Path(__file__).with_name("split.csv"))),
        description="`data_prep/goldatlas/split.csv`: the 15 patients of sites 1 and 2 train, the 4 of site 3 test.",
    )


class GoldAtlas(FromArchives, CtMrDataset):
    """Deformed CT, T1 and T2 of 19 patients."""

    Config = GoldAtlasConfig
    # the planning CT is in another frame of reference and not aligned
    series: ClassVar = {"CT": ("CT", "CTtoMR"), "T1": ("MR", "T1"), "T2": ("MR", "T2")}

    def archives(self) -> list[RemoteFile]:
        """One zip per patient; sizes and digests are in the record, for those with access."""
        return [_zip(name) for name in PATIENTS]

    def needed(self, raw_dir: Path) -> list[RemoteFile]:
        """The zips of patients without volumes or a folder of DICOM files."""
        return [_zip(name) for name in PATIENTS if not self._has_contents(Path(raw_dir), name)]

    def lacking(self, raw_dir: Path) -> list[RemoteFile]:
        """Those of them that are not there, under whatever name."""
        local = self._local(Path(raw_dir))
        return [file for file in self.needed(raw_dir) if _patient(file.name) not in local]

    def fetch(self, archive: RemoteFile, raw_dir: Path, progress: Progress) -> None:
        """Fetch a patient's zip, or check the one that is there.

        Raises:
            UserError: there is neither a zip nor a token, access is refused, or see `obtain`.
        """
        from xmodbench.data.download.obtain import obtain

        raw_dir, name = Path(raw_dir), _patient(archive.name)
        files, granted = self._sources(raw_dir, [name], progress, required=name not in self._local(raw_dir))
        if not files:
            raise UserError(f"{archive.name} is not here", raw_dir, HOW)
        obtain(files[name], raw_dir, progress, granted)

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Fetch (with a token) and unpack the zips, and make volumes of the series.

        A patient whose zip cannot be had or is of no use does not stop the others.

        Raises:
            UserError: no patient can be used: there is neither a zip nor a token, access is refused, or all are damaged.
        """
        raw_dir = Path(raw_dir)
        local, lacking = self._local(raw_dir), {_patient(file.name) for file in self.lacking(raw_dir)}
        wanted = [n for n in PATIENTS if n in lacking or (n in local and not self._is_converted(raw_dir, n))]
        files, granted = self._sources(raw_dir, wanted, progress, required=len(lacking) == len(PATIENTS))
        absent = [name for name in wanted if name not in files]
        if len(absent) == len(PATIENTS):
            raise UserError(f"none of the {len(PATIENTS)} patients is here", raw_dir, HOW)
        if absent:
            progress.say(f"not here: {', '.join(absent)}; {HOW}")
        problems = self._unpack(raw_dir, files, granted, progress)
        for name in absent:
            if self._half_unpacked(raw_dir, name):
                problems[name] = f"{name}: its zip was unpacked only in part; put it there again"
        self.convert(raw_dir, progress, problems)
        for name in sorted(set(WATCH) & {record.subject for record in self.volumes(raw_dir)}):
            progress.say(f"{name}: {WATCH[name]}")

    def _unpack(self, raw_dir: Path, files: dict[str, RemoteFile], granted, progress: Progress) -> dict[str, str]:
        """Unpack the zips, fetched where they are not there; returns what is wrong with patients by their names."""
        from xmodbench.data.download.errors import Damaged, NotFetched
        from xmodbench.data.download.lockfile import LockFile
        from xmodbench.data.download.obtain import obtain, unpack

        problems = {}
        for name, file in sorted(files.items()):
            lock, local = LockFile(raw_dir), (raw_dir / file.name).is_file()
            if local and not lock.unchanged(file.name):
                lock.forget_file(file.name)  # no volumes came of the zip before: another may take its place
            present = any((raw_dir / name).glob("*"))
            try:
                if local:
                    obtain(file, raw_dir, progress)  # the record may be known only since it was unpacked
                unpack(file, raw_dir, progress, granted, present=present, into=name)
            except (Damaged, NotFetched) as error:
                progress.say(f"{name}: {error}")
                problems[name] = str(error)
        return problems

    def _has_contents(self, raw_dir: Path, name: str) -> bool:
        own = any((raw_dir / name).glob("*")) and not self._half_unpacked(raw_dir, name)
        return own or self._is_converted(raw_dir, name)

    def _half_unpacked(self, raw_dir: Path, name: str) -> bool:
        from xmodbench.data.download.lockfile import LockFile

        archives = LockFile(raw_dir).data["unpacked"]
        return any(_patient(key) == name and not item["complete"] for key, item in archives.items())

    def _local(self, raw_dir: Path) -> dict[str, RemoteFile]:
        """The zips that are there, by patient."""
        names = sorted(path.name for path in raw_dir.glob("*.zip") if _patient(path.name))
        return {_patient(name): RemoteFile(name) for name in names}

    def _sources(self, raw_dir: Path, wanted: list[str], progress: Progress, *, required: bool):
        """Patients' zips, those that are there before Zenodo's, and the access to the latter.

        With access each has the size and the digest of the record. Where the record cannot be had and is not required
        (there are other patients), that is only said.
        """
        from xmodbench.data.download import zenodo
        from xmodbench.data.download.access import OPEN

        local = {name: file for name, file in self._local(raw_dir).items() if name in wanted}
        granted = zenodo.access() if wanted else None
        if granted is None:
            return local, OPEN
        try:
            listed = zenodo.record_files(RECORD, granted)
        except UserError as error:
            if required:
                raise
            progress.say(f"{error}; going on with what is here")
            return local, OPEN
        published = {_patient(file.name): file for file in listed if _patient(file.name) in wanted}
        checked = {
            n: replace(f, size=published[n].size, md5=published[n].md5) for n, f in local.items() if n in published
        }
        return {**published, **local, **checked}, granted


def _zip(patient: str) -> RemoteFile:
    return RemoteFile(f"{patient}.zip", note=HOW)


def _patient(archive: str) -> str | None:
    """The patient of a zip, by its name; None for other files."""
    match = ARCHIVE.fullmatch(archive)
    return match[1] if match else None
