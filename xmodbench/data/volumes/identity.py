"""Whether one scan stands under two names: by the bytes of the files and by their voxels, so that copies are found too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.volumes.resample import orient
from xmodbench.errors import UserError

SAMPLES = 16  # along each axis
TOLERANCE = 1e-3  # of the volume's standard deviation: what other number types and scalings leave of a difference
MIN_DISTINCT = 64


@dataclass(frozen=True)
class Voxels:
    """What tells one scan from others, whatever format, compression, number type, scaling or axes a copy of it has.

    Attributes:
        views: of the voxels as stored and of those brought to the standard axes (the header of a copy may have lost one of
            the two): their shape, and samples on a regular grid in units of standard deviations from the mean.
        sha256: of the voxels as they were read. Not of the file: the header of an .mhd may equal another's.
        skewness: of all voxels.
        distinct: samples that are not the commonest value; with few, an equality could be chance.
    """

    views: tuple[tuple[tuple[int, ...], np.ndarray], ...]
    sha256: str
    skewness: float
    distinct: int

    @classmethod
    def of(cls, image: sitk.Image) -> Voxels:
        """Of a volume as it was read, before anything is done to it."""
        oriented = orient(image)
        stored = sitk.GetArrayViewFromImage(image)
        mean, deviation = float(stored.mean(dtype=np.float64)), float(stored.std(dtype=np.float64))
        arrays = (stored, sitk.GetArrayViewFromImage(oriented))
        views = tuple((array.shape, (_sampled(array) - mean) / deviation) for array in arrays)
        skewness = float((((stored - np.float32(mean)) / np.float32(deviation)) ** 3).mean(dtype=np.float64))
        _, counts = np.unique(views[0][1], return_counts=True)
        return cls(
            views, hashlib.sha256(np.ascontiguousarray(stored)).hexdigest(), skewness, int(counts.sum() - counts.max())
        )

    def same(self, other: Voxels) -> bool:
        """Whether both are of one scan."""
        if self.sha256 == other.sha256 and self.views[0][0] == other.views[0][0]:
            return True
        if abs(self.skewness - other.skewness) > 10 * TOLERANCE or min(self.distinct, other.distinct) < MIN_DISTINCT:
            return False
        return any(
            shape == other_shape and np.abs(ours - theirs).max() < TOLERANCE
            for shape, ours in self.views
            for other_shape, theirs in other.views
        )


def _sampled(array: np.ndarray) -> np.ndarray:
    places = [np.linspace(0, size - 1, SAMPLES).round().astype(int) for size in array.shape]
    return array[np.ix_(*places)].ravel()


@dataclass(frozen=True)
class Scan:
    """A volume of a subject, as far as its identity goes."""

    subject: str
    modality: str
    file: str
    sha256: str
    voxels: Voxels


@dataclass(frozen=True)
class Repeated:
    """Two volumes that are one scan."""

    one: Scan
    other: Scan

    def __str__(self) -> str:
        how = "the same file" if self.one.sha256 == self.other.sha256 else "the same voxels"
        return f"{self.one.file} and {self.other.file} are {how}"


def repeated(scans: Sequence[Scan]) -> Iterator[Repeated]:
    """All pairs that are one scan, in the order of the scans."""
    for one, other in combinations(scans, 2):
        if one.voxels.same(other.voxels):
            yield Repeated(one, other)


def check_identity(scans: Sequence[Scan], parts: Mapping[str, Sequence[str]] | None, where: Path) -> list[str]:
    """Lines that say which scans stand under two names.

    Args:
        scans: of all subjects that were prepared.
        parts: subjects of ``train`` and ``test``; None for a lone subject.

    Raises:
        UserError: one is in training and in test.
    """
    part_of = {subject: part for part, subjects in (parts or {}).items() for subject in subjects}
    lines = []
    for pair in repeated(scans):
        one, other = pair.one.subject, pair.other.subject
        if part_of.get(one) != part_of.get(other):
            named = f"'{one}' ({part_of[one]}) and '{other}' ({part_of[other]}) are one scan under two names: {pair}"
            raise UserError(named, where, "put one of them into `exclude`, or give the right file")
        if one == other:
            lines.append(f"{one}: {pair.one.modality} and {pair.other.modality} are one scan: {pair}")
        else:
            lines.append(f"'{one}' and '{other}' are one scan under two names, both {part_of[one]}: {pair}")
    return lines
