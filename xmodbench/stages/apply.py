"""apply: translate volumes with a trained model, and put them back where they came from."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.found import volume_names
from xmodbench.data.volumes.io import suffix
from xmodbench.data.volumes.nifti_writing import stem_of, write_nifti
from xmodbench.errors import UserError
from xmodbench.files import files_below, sha256_file, sha256_files
from xmodbench.records import recorded
from xmodbench.stages.apply_model import Model, Wish
from xmodbench.stages.apply_volume import Applied, apply_to
from xmodbench.stages.wall.method_job import MethodJob


@dataclass(frozen=True)
class Item:
    """What is to become what: a file or a folder of DICOM images, and a NIfTI file (or a folder of DICOM images)."""

    given: Path
    out: Path

    @property
    def record(self) -> Path:
        """The file beside the result that says how it came about."""
        return self.out.with_name(f"{self.out.name if self.dicom else stem_of(self.out)}.record.json")

    @property
    def spread(self) -> Path:
        """The file of the standard deviation."""
        return self.out.with_name(f"{self.out.name}_std.nii.gz" if self.dicom else f"{stem_of(self.out)}_std.nii.gz")

    @property
    def dicom(self) -> bool:
        """Whether a DICOM series is to be written."""
        return not self.out.name.lower().endswith((".nii", ".nii.gz"))


def apply(job: MethodJob, model: Model, given: Path, out: Path, wish: Wish) -> list[tuple[Path, str]]:
    """Translate a volume, a DICOM series, or a folder of either; returns which of a folder failed, and why.

    Beside each result lies a JSON file that says how it came about, which is written last.

    Raises:
        UserError: there is nothing to translate, a result has no proper name, or, of a single volume, whatever is wrong.
    """
    items = items_of(given, out, wish)
    if items[0].given == given:
        _do(job, model, items[0], wish)
        return []
    failed = []
    for item in job.progress.track(items, "apply", total=len(items)):
        try:
            _do(job, model, item, wish)
        except UserError as error:
            failed.append((item.given, str(error)))
            job.progress.say(f"{item.given.name}: failed")
    return failed


def items_of(given: Path, out: Path, wish: Wish) -> list[Item]:
    """What is to be translated; the one item is of `given` itself where that is no folder of several.

    Raises:
        UserError: there is nothing, two would get one name, or results would lie among what is given.
    """
    if given.is_file():
        if suffix(given) is None:
            raise UserError("no volume (NIfTI, NRRD, MetaImage) and no folder", given, "give one of these")
        return _single(Item(given, out), wish)
    if not given.is_dir():
        raise UserError("no such file or folder", given)
    if out.resolve().is_relative_to(given.resolve()):
        raise UserError("lies in the folder that is to be translated", out, "give another place")
    names, _ = volume_names(given)
    if not names and any(path.parent == given for path in files_below(given)):
        return _single(Item(given, out), wish)  # a DICOM series
    folders = sorted(path for path in given.iterdir() if path.is_dir() and any(files_below(path))) if not names else []
    if not names and not folders:
        raise UserError("nothing to translate here (NIfTI, NRRD, MetaImage, DICOM)", given)
    ending = "" if wish.dicom and folders else ".nii.gz"
    items = [Item(given / name, out / f"{name[: -len(suffix(Path(name)) or '')]}{ending}") for name in names]
    items += [Item(folder, out / f"{folder.name}{ending}") for folder in folders]
    taken: dict[Path, Path] = {}
    for item in items:
        if (other := taken.setdefault(item.out, item.given)) != item.given:
            raise UserError(
                f"would get the same name as that of {other.name}, {item.out.name}", item.given, "rename one"
            )
    return items


def _single(item: Item, wish: Wish) -> list[Item]:
    if item.given.is_file() or not item.dicom:
        stem_of(item.out)
        if wish.dicom:
            problem = "DICOM is written where DICOM is given" if item.given.is_file() else "is the name of a NIfTI file"
            raise UserError(
                problem, "--dicom" if item.given.is_file() else item.out, "leave out --dicom, or name a folder"
            )
    if item.out.resolve() == item.given.resolve():
        raise UserError("is the volume itself", item.out, "give the result another name")
    return [item]


def _check_free(item: Item) -> None:
    """Refuse to put a series into the place of a folder that holds anything but an earlier result.

    Raises:
        UserError: it does.
    """
    if not item.dicom or not item.out.exists():
        return
    others = (
        [path for path in item.out.iterdir() if not re.fullmatch(r"\d{4,}\.dcm", path.name)]
        if item.out.is_dir()
        else [1]
    )
    if others or (any(item.out.iterdir()) and not item.record.is_file()):
        raise UserError("is there already, and no result of this command", item.out, "name a new folder")


def _do(job: MethodJob, model: Model, item: Item, wish: Wish) -> None:
    """Translate one item and write what comes of it; of an earlier result nothing stays that might pass for this one's."""
    _check_free(item)
    item.out.parent.mkdir(parents=True, exist_ok=True)
    with recorded(item.out.parent, "apply", file=item.record.name, input_path=str(item.given)) as record:
        with tempfile.TemporaryDirectory(prefix="xmodbench-apply-") as scratch:
            path, series, remark = item.given, None, None
            if item.given.is_dir():
                from xmodbench.data.volumes.dicom_volumes import convert_series

                path = Path(scratch) / "series.nii.gz"
                series, remarks = convert_series(item.given, path, wish.series)
                remark = "; ".join(remarks) or None
            done = apply_to(job, model, path, wish, remark, item.given)
            if series is not None:
                files = {one.path for one in series.slices}
                done.record["input"] |= {"file": item.given.name, "sha256": sha256_files(files, item.given)}
                record["series"] = series.facts()
            for old in (item.record, item.spread):
                old.unlink(missing_ok=True)
            description = f"synthetic {model.target} by {job.name} (xmodbench)"
            if item.dicom and series is not None:
                from xmodbench.data.volumes.dicom_writing import write_derived

                write_derived(item.out, done.mean.image, series, done.record["kind"], description, _identity(done))
            else:
                write_nifti(item.out, done.mean.image, path, description)
                record["output_sha256"] = sha256_file(item.out)
            if done.spread is not None:
                write_nifti(item.spread, done.spread.image, path, f"standard deviation of {description}")
        record.update(done.record, result=item.out.name)


def _identity(done: Applied) -> list[str]:
    """What makes a result this one and no other's."""
    record: dict[str, Any] = done.record
    keys = ("input", "model_sha256", "code_sha256", "settings_sha256", "seed", "samples", "target")
    return [str(record[key]) for key in keys]
