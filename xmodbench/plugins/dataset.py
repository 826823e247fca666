"""What a data-set plugin is, and the words it answers in: the files it would fetch, the subjects it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xmodbench.plugins.settings import Settings

if TYPE_CHECKING:
    from xmodbench.progress import Progress


@dataclass(frozen=True)
class SubjectRecord:
    """A subject found in the raw folder: a volume file per modality; a modality without a file is left out.

    ``problem`` says why the files found cannot be used (two candidates for one modality, for example), ``remarks`` by
    modality what was assumed where a file was made from others.
    """

    subject: str
    site: str
    files: dict[str, Path]
    problem: str | None = None
    remarks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set on the web.

    Args:
        name: file name within the raw folder, may have folders.
        urls: where it is, mirrors in the order of preference; none for a file that only a person can get.
        size: published size in bytes, None where nobody says.
        md5, sha256: published digests, as hexadecimal.
        note: what a person needs to know, such as how to get access.
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    note: str | None = None


class Dataset(ABC):
    """A data set: where its raw volumes come from, which there are, and how slices are made of them."""

    simulated: ClassVar[bool] = False
    Config: ClassVar[type[Settings]]

    def __init__(self, settings: Settings):
        self.settings = settings

    @abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """Modality ids, known from the settings alone."""

    def archives(self) -> list[RemoteFile]:
        """The files that `acquire` would fetch, known without asking anyone; none for volumes that are made or given."""
        return []

    @abstractmethod
    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Make the raw volumes be in ``raw_dir`` (download, simulate), or say in a UserError how to get them there."""

    def outdated(self, raw_dir: Path, seed: int) -> str | None:
        """Why what `acquire` left in ``raw_dir`` is not what it would leave now, in a clause; None where nothing says so."""
        return None

    @abstractmethod
    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """The subjects found in ``raw_dir`` with a file per modality, sorted by subject."""
