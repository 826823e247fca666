"""What `apply` is given, and where what becomes of it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xmodbench.data.volumes.found import volume_names
from xmodbench.data.volumes.io import suffix
from xmodbench.data.volumes.nifti_writing import stem_of
from xmodbench.errors import UserError
from xmodbench.files import files_below
from xmodbench.plugins.settings import NAME
from xmodbench.records import FAILURE

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """What is to become what.

    Attributes:
        given: by modality, a file or a folder of DICOM images.
        out: a NIfTI file, or a folder for DICOM images.
        reference: the modality whose voxels the result lies on.
    """

    given: Mapping[str, Path]
    out: Path
    reference: str

    @property
    def first(self) -> Path:
        """What is given of the reference."""
        return self.given[self.reference]

    @property
    def record(self) -> Path:
        """The file beside the result that says how it came about."""
        return self.out.with_name(f"{self.out.name if self.dicom else stem_of(self.out)}.record.json")

    @property
    def failure(self) -> Path:
        """The file beside it that says why there is none."""
        return self.record.with_name(self.record.name.replace(".record.json", f".{FAILURE}"))

    @property
    def spread(self) -> Path:
        """The file of the standard deviation."""
        return self.out.with_name(f"{self.out.name}_std.nii.gz" if self.dicom else f"{stem_of(self.out)}_std.nii.gz")

    @property
    def dicom(self) -> bool:
        """Whether a DICOM series is to be written."""
        return not self.out.name.lower().endswith((".nii", ".nii.gz"))


def alone_or_by_source(values: Mapping[str, T]) -> T | dict[str, T]:
    """What a record says of each source: of a single one its value, of several one by modality."""
    return next(iter(values.values())) if len(values) == 1 else dict(values)


def named(words: Sequence[str], option: str = "IN") -> dict[str, str]:
    """By modality, what stands behind it in words such as ``t1=a.nii.gz``; under no name, a single word without one.

    Raises:
        UserError: several words, of which one says no modality, or two the same.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(NAME, name) or Path(word).exists():
            name, value = "", word
        if name in found or (found and "" in (name, *found)):
            problem = f"two words for '{name}'" if name in found and name else f"of which modality is '{word:.60}'?"
            raise UserError(problem, option, "write the modality before each: t1=... t2=...")
        found[name] = value
    return found


def items_of(given: Mapping[str, Path], out: Path, reference: str, dicom: bool) -> list[Item]:
    """What is to be translated; the one item is of all that is `given` where that is no folder of several.

    Of several sources, what has the same name in the folders of all belongs together.

    Args:
        given: by modality.
        dicom: write DICOM series.

    Raises:
        UserError: there is nothing, two would get one name, or results would lie among what is given.
    """
    for path in given.values():
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise UserError("lies in the folder that is to be translated", out, "give another place")
    listed = {name: _listed(path) for name, path in given.items()}
    several = {name: there for name, there in listed.items() if there is not None}
    if not several:
        return [_single(Item(given, out, reference), dicom)]
    if len(several) < len(listed):
        single, folder = (
            next(given[name] for name in listed if (name in several) is wanted) for wanted in (False, True)
        )
        raise UserError(
            f"is one volume, and {folder} a folder of several", single, "give a folder of each, or a volume"
        )
    names = sorted({name for there in several.values() for name in there})
    kinds = {name: [there[name].is_dir() for there in several.values() if name in there] for name in names}
    return [
        Item(
            {modality: there[name] for modality, there in several.items() if name in there},
            out / (name if dicom and all(kinds[name]) else f"{name}.nii.gz"),
            reference,
        )
        for name in names
    ]


def _listed(path: Path) -> dict[str, Path] | None:
    """By name without its ending, the volumes in a folder, or its folders of DICOM images; None of what is one itself."""
    if path.is_file():
        if suffix(path) is None:
            raise UserError("no volume (NIfTI, NRRD, MetaImage) and no folder", path, "give one of these")
        return None
    if not path.is_dir():
        raise UserError("no such file or folder", path)
    names, _ = volume_names(path)
    if not names and any(file.parent == path for file in files_below(path)):
        return None  # a DICOM series
    found: dict[str, Path] = {}
    for name in names:
        stem = name[: -len(suffix(Path(name)) or "")]
        if (other := found.setdefault(stem, path / name)) != path / name:
            problem = f"would get the same name as that of {other.name}, {Path(stem).name}.nii.gz"
            raise UserError(problem, path / name, "rename one")
    if not names:
        found = {each.name: each for each in sorted(path.iterdir()) if each.is_dir() and any(files_below(each))}
    if not found:
        raise UserError("nothing to translate here (NIfTI, NRRD, MetaImage, DICOM)", path)
    return found


def _single(item: Item, dicom: bool) -> Item:
    if item.first.is_file() or not item.dicom:
        stem_of(item.out)
        if dicom:
            problem = "DICOM is written where DICOM is given" if item.first.is_file() else "is the name of a NIfTI file"
            where = "--dicom" if item.first.is_file() else item.out
            raise UserError(problem, where, "leave out --dicom, or name a folder")
    return item


def check_complete(item: Item, given: Mapping[str, Path]) -> None:
    """Raise UserError where a folder lacks what has the same name in that of another source."""
    for name, folder in given.items():
        if name not in item.given:
            there = next(iter(item.given.values()))
            raise UserError(f"has no volume of the name of {there}", folder, "give one of each source, or take it out")
