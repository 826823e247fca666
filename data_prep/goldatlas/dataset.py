"""Gold Atlas: CT and MR of the male pelvis (https://zenodo.org/records/583096), on request only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xmodbench.download.remote import RemoteFile
from xmodbench.errors import UserError
from xmodbench.volumes.ct_mr import CtMrConfig, CtMrDataset
from xmodbench.volumes.settings import Spacing, Split

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
WATCH = {"2_10_P": "others left this patient out: look at it with `xmodbench inspect`"}


class GoldAtlasConfig(CtMrConfig):
    """The deformed CT on T1's grid of 0.875 x 0.875 x 3 mm, every slice; sites 1 and 2 train, site 3 tests."""

    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing] | None = Field(
        (0.875, 0.875, 3.0), description="The paper's voxel size; left-right, front-back, up-down."
    )
    split: Split = Field(
        Split(file=str(Path(__file__).with_name("split.csv"))),
        description="`data_prep/goldatlas/split.csv`: the 15 patients of sites 1 and 2 train, the 4 of site 3 test.",
    )


class GoldAtlas(CtMrDataset):
    """Deformed CT, T1 and T2 of 19 patients."""

    Config = GoldAtlasConfig
    # the planning CT is in another frame of reference and not aligned
    series: ClassVar = {"CT": ("CT", "CTtoMR"), "T1": ("MR", "T1"), "T2": ("MR", "T2")}

    def archives(self) -> list[RemoteFile]:
        """One zip per patient; sizes and digests are in the record, for those with access."""
        return [RemoteFile(f"{name}.zip", note=HOW) for name in PATIENTS]

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Fetch (with a token) and unpack the zips, and make volumes of the series.

        Raises:
            UserError: there is neither a zip nor a token, or access is refused.
        """
        from xmodbench.download.obtain import unpack

        raw_dir = Path(raw_dir)
        missing = [name for name in PATIENTS if not self._is_here(raw_dir, name)]
        granted = self._access(raw_dir, missing)
        files = self._local(raw_dir) | (self._remote(missing, granted) if granted else {})
        lacking = [name for name in missing if name not in files]
        if lacking:
            progress.say(f"not here: {', '.join(lacking)}; {HOW}")
        for name, file in sorted(files.items()):
            if not self._facts(raw_dir, name):
                present = any((raw_dir / name).glob("*"))
                unpack(file, raw_dir, progress, **({"access": granted} if granted else {}), present=present, into=name)
        self.convert(raw_dir, progress)
        for name in sorted(set(WATCH) & {record.subject for record in self.volumes(raw_dir)}):
            progress.say(f"{name}: {WATCH[name]}")

    def _is_here(self, raw_dir: Path, name: str) -> bool:
        own = any((raw_dir / name).glob("*")) and not self._half_unpacked(raw_dir, name)
        return bool(own or name in self._local(raw_dir) or self._facts(raw_dir, name))

    def _half_unpacked(self, raw_dir: Path, name: str) -> bool:
        from xmodbench.download.lockfile import LockFile

        archives = LockFile(raw_dir).data["unpacked"]
        return any(ARCHIVE.fullmatch(key)[1] == name and not item["complete"] for key, item in archives.items())

    def _local(self, raw_dir: Path) -> dict[str, RemoteFile]:
        found = [(ARCHIVE.fullmatch(path.name), path.name) for path in sorted(raw_dir.glob("*.zip"))]
        return {match[1]: RemoteFile(name) for match, name in found if match}

    def _access(self, raw_dir: Path, missing: list[str]):
        from xmodbench.download import zenodo

        if not missing:
            return None
        granted = zenodo.access()
        if granted is None and len(missing) == len(PATIENTS):
            raise UserError("none of the 19 patients is here", raw_dir, HOW)
        return granted

    def _remote(self, missing: list[str], granted) -> dict[str, RemoteFile]:
        from xmodbench.download import zenodo

        listed = zenodo.record_files(RECORD, granted)
        named = {match[1]: file for file in listed if (match := ARCHIVE.fullmatch(file.name))}
        return {name: named[name] for name in missing if name in named}
