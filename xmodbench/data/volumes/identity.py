"""Whether one scan stands under two names: by the bytes of the files and by their voxels, so that copies are found too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
            views,
            hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest(),
            skewness,
            int(counts.sum() - counts.max()),
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


def check_identity(scans: Sequence[Scan], parts: Mapping[str, Sequence[str]] | None, where: Path) -> list[str]:
    """Lines that say which scans stand under several names.

    A set in which all subjects are copies of one, as people make to try things out, is told and not refused: nothing that
    could be measured on it would pass for a result.

    Args:
        scans: of all subjects that were prepared.
        parts: subjects of ``train`` and ``test``; None for a lone subject.

    Raises:
        UserError: a scan is in training and in test.
    """
    part_of = {subject: part for part, subjects in (parts or {}).items() for subject in subjects}
    copies = [group for group in _groups(scans) if len(group) > 1]
    trial = any(_is_of_all(group, scans) for group in copies)
    for group in copies:
        first = group[0]
        other = next((scan for scan in group if part_of.get(scan.subject) != part_of.get(first.subject)), None)
        if other is not None and not trial:
            names = (f"'{scan.subject}' ({part_of[scan.subject]})" for scan in (first, other))
            problem = f"{' and '.join(names)} are one scan under two names: {_said([first, other])}"
            raise UserError(problem, where, "put one of them into `exclude`, or give the right file")
    return [_line(group, part_of, trial) for group in copies]


def _groups(scans: Sequence[Scan]) -> list[list[Scan]]:
    """Scans by what they are of, in their order."""
    groups: list[list[Scan]] = []
    for scan in scans:
        known = next((group for group in groups if group[0].voxels.same(scan.voxels)), None)
        if known is None:
            groups.append([scan])
        else:
            known.append(scan)
    return groups


def _is_of_all(group: list[Scan], scans: Sequence[Scan]) -> bool:
    """Whether it holds a modality of every subject, of which there are several."""
    everybody = {scan.subject for scan in scans}
    by_modality = {
        name: {scan.subject for scan in group if scan.modality == name} for name in {s.modality for s in group}
    }
    return len(everybody) > 1 and everybody in by_modality.values()


def _line(group: list[Scan], part_of: Mapping[str, str], trial: bool) -> str:
    subjects = list(dict.fromkeys(scan.subject for scan in group))
    if len(subjects) == 1:
        return f"{subjects[0]}: {' and '.join(scan.modality for scan in group)} are one scan: {_said(group)}"
    names = " and ".join(f"'{name}' ({part_of[name]})" for name in subjects[:4]) + (" ..." if subjects[4:] else "")
    hint = "; no method can be tested on copies of one scan" if trial else ""
    return f"{names} are one scan under {len(subjects)} names: {_said(group)}{hint}"


def _said(group: Sequence[Scan]) -> str:
    how = "the same file" if len({scan.sha256 for scan in group}) == 1 else "the same voxels"
    return f"{' and '.join(scan.file for scan in group[:4])}{' ...' if group[4:] else ''} are {how}"
