"""What data sets that come in archives share: which archives are still needed, and how one of them is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.plugins import Dataset, RemoteFile

if TYPE_CHECKING:
    from xmodbench.progress import Progress


class FromArchives(Dataset):
    """To be put before a data set that finds the volumes: ``class Ixi(FromArchives, PatternDataset)``.

    Each of its `archives` can be fetched by a job of its own. `acquire` fetches what is lacking then, and unpacks.
    """

    def present(self, archive: RemoteFile, raw_dir: Path) -> bool:
        """Whether volumes like those of an archive lie there: the user's own, where we have unpacked none."""
        return False

    def needed(self, raw_dir: Path) -> list[RemoteFile]:
        """The archives whose contents are not there yet."""
        from xmodbench.data.download.obtain import is_unpacked

        return [file for file in self.archives() if not is_unpacked(file, raw_dir, present=self.present(file, raw_dir))]

    def lacking(self, raw_dir: Path) -> list[RemoteFile]:
        """The archives that would have to be fetched: needed, and not there."""
        return [file for file in self.needed(raw_dir) if not (Path(raw_dir) / file.name).is_file()]

    def fetch(self, archive: RemoteFile, raw_dir: Path, progress: Progress) -> None:
        """Fetch an archive, or check the one that is there.

        Raises:
            UserError: see `obtain`.
        """
        from xmodbench.data.download.obtain import obtain

        obtain(archive, raw_dir, progress)
