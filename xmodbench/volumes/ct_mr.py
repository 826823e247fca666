"""Data sets of CT and MR as folders of DICOM files, a folder per patient, the series told by their descriptions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.config import Modality
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_json, write_json
from xmodbench.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.volumes.settings import Normalisation, SliceSelection, Split, SubjectRecord

if TYPE_CHECKING:
    from xmodbench.progress import Progress

FOLDER = "volumes"
_FORMAT = 1
CT_WINDOW = Normalisation(
    method="window", low=-1000, high=1000, fill=-1000, mask_above=-500, mask_opening_mm=8
)  # fmt: skip


def _patterns(sequence: str) -> dict[str, str]:
    stem = f"{FOLDER}/{{subject}}/{{subject}}"
    return {"ct": f"{stem}-CT.nii.gz", "mr": f"{stem}-{sequence}.nii.gz"}


class CtMrConfig(PatternConfig):
    """CT brought onto the grid of an MR sequence."""

    mr_sequence: Literal["T1", "T2"] = Field("T1", description="Which MR scan is the modality `mr`.")
    patterns: dict[Modality, str] = Field(
        _patterns("T1"), description="File names of the volumes made of the series; follow `mr_sequence` if left out."
    )
    subject_pattern: str = Field(r"(?P<site>\d)_\d{2}_P", description="A patient's name, with the site.")
    reference: str | None = Field("mr", description="MR's grid is kept.")
    mask_from: str | None = Field("ct", description="The body is found in CT: above -500 HU, without the couch.")
    slices: SliceSelection = Field(SliceSelection(stride_mm=3.0), description="One slice per 3 mm.")
    normalise: dict[str, Normalisation] = Field(
        {"ct": CT_WINDOW}, description="CT: -1000 to 1000 HU; MR: percentiles 0.5 and 99.5 inside the body."
    )
    split: Split = Field(Split(), description="Division into training and test patients.")

    @model_validator(mode="before")
    @classmethod
    def _follow_sequence(cls, values: Any) -> Any:
        if isinstance(values, dict) and "patterns" not in values and values.get("mr_sequence") == "T2":
            return {**values, "patterns": _patterns("T2")}
        return values


class CtMrDataset(PatternDataset):
    """Makes volumes ``volumes/<patient>/<patient>-{CT,T1,T2}.nii.gz`` of the series in ``<patient>/``."""

    Config = CtMrConfig
    # file-name ending of the volume: modality and pattern of the description
    series: ClassVar[dict[str, tuple[str, str]]]

    def convert(self, raw_dir: Path, progress: Progress) -> None:
        """Make the volumes of all patients whose folders are there and have changed.

        A patient whose series cannot be used does not stop the others; the reason is kept beside the volumes.
        """
        folders = [path for path in sorted(Path(raw_dir).glob("*")) if path.is_dir() and self._is_patient(path.name)]
        waiting = [folder for folder in folders if self._facts(raw_dir, folder.name).get("from") != _listing(folder)]
        for folder in progress.track(waiting, "read DICOM series", total=len(waiting)):
            out = Path(raw_dir) / FOLDER / folder.name
            (out / "series.json").unlink(missing_ok=True)
            try:
                facts: dict[str, Any] = {"series": self._convert(folder, out)}
            except UserError as error:
                facts = {"problem": str(error).replace(f"{raw_dir}/", "")}
                progress.say(f"{folder.name}: {error}")
            write_json(out / "series.json", {**facts, "from": _listing(folder)})

    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """The patients with volumes, and those without, with the reason."""
        facts = {path.parent.name: read_json(path) for path in sorted(Path(raw_dir).glob(f"{FOLDER}/*/series.json"))}
        problems = {name: item["problem"] for name, item in facts.items() if "problem" in item}
        if facts and len(problems) == len(facts):
            raise UserError(f"none of {len(facts)} patients can be used, {next(iter(problems.values()))}", raw_dir)
        # a volume without series.json was being written when the job was killed
        found = [record for record in super().volumes(raw_dir) if record.subject in {*facts} - {*problems}]
        site = re.compile(self.settings.subject_pattern)
        for name, problem in problems.items():
            found.append(SubjectRecord(name, site.fullmatch(name).groupdict().get("site") or "unknown", {}, problem))
        return sorted(found, key=lambda record: record.subject)

    def _is_patient(self, name: str) -> bool:
        return re.fullmatch(self.settings.subject_pattern, name) is not None

    def _facts(self, raw_dir: Path, patient: str) -> dict[str, Any]:
        path = Path(raw_dir) / FOLDER / patient / "series.json"
        return read_json(path) if path.is_file() else {}

    def _convert(self, folder: Path, out: Path) -> dict[str, Any]:
        from xmodbench.volumes.dicom import choose_series, compact, find_series, read_series
        from xmodbench.volumes.io import write_volume

        there = find_series(folder)
        chosen = {name: choose_series(there, *rule) for name, rule in self.series.items()}
        frames = {name: item.frame for name, item in chosen.items()}
        if len(set(frames.values())) > 1:
            raise UserError(f"{' and '.join(frames)} are not in one frame of reference", folder, "take it out")
        for name, item in chosen.items():
            write_volume(compact(read_series(item)), out / f"{folder.name}-{name}.nii.gz")
        return {name: item.facts() for name, item in chosen.items()}


def _listing(folder: Path) -> str:
    """What a patient's volumes are made from: names and sizes of the files, and the version of this reader."""
    files = sorted((path.name, path.stat().st_size) for path in folder.rglob("*") if path.is_file())
    return sha256_json([_FORMAT, files])[:16]
