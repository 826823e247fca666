"""Data sets of CT and MR as folders of DICOM files, a folder per patient, the series told by their descriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset
from xmodbench.data.volumes.settings import Normalisation, SliceSelection, Split
from xmodbench.errors import UserError
from xmodbench.files import files_below, read_json, sha256_json, write_json
from xmodbench.plugins import SubjectRecord
from xmodbench.plugins.settings import Modality

if TYPE_CHECKING:
    from xmodbench.progress import Progress

FOLDER = "volumes"
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

    def convert(self, raw_dir: Path, progress: Progress, refused: Mapping[str, str] = MappingProxyType({})) -> None:
        """Make the volumes of all patients whose folders are there, where these or the code that reads them have changed.

        A patient whose series cannot be used does not stop the others; the reason is kept beside the volumes, and the
        series are read again the next time, as they may have been mended.

        Args:
            refused: patients whose archives are of no use, with the reason: what lies there of them is not read.
        """
        raw_dir, code = Path(raw_dir), self._code()
        for patient, problem in refused.items():
            write_json(_facts_file(raw_dir, patient), {"problem": problem.replace(f"{raw_dir}/", "")})
        folders = [path for path in sorted(raw_dir.glob("*")) if path.is_dir() and self._is_patient(path.name)]
        waiting = [folder for folder in folders if folder.name not in refused and not self._is_current(folder, code)]
        for folder in progress.track(waiting, "read DICOM series", total=len(waiting)):
            path = _facts_file(raw_dir, folder.name)
            path.unlink(missing_ok=True)
            facts = self._convert(folder, path.parent, progress)
            write_json(path, {**facts, "from": _listing(folder), "code": code})
        made = (path.parent.name for path in sorted(raw_dir.glob(f"{FOLDER}/*/series.json")))
        old = [name for name in made if not (raw_dir / name).is_dir() and self._made_by_other_code(raw_dir, name, code)]
        if old:
            progress.say(f"{', '.join(old)}: volumes made by other code are kept, as the series are no longer there")

    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """The patients with volumes, and those without, with the reason."""
        facts = {path.parent.name: read_json(path) for path in sorted(Path(raw_dir).glob(f"{FOLDER}/*/series.json"))}
        problems = {name: item["problem"] for name, item in facts.items() if "problem" in item}
        if facts and len(problems) == len(facts):
            raise UserError(f"none of {len(facts)} patients can be used, {next(iter(problems.values()))}", raw_dir)
        # a volume without series.json was being written when the job was killed
        found = [
            replace(record, remarks=_remarks(record, facts[record.subject]["series"]))
            for record in super().volumes(raw_dir)
            if record.subject in {*facts} - {*problems}
        ]
        site = re.compile(self.settings.subject_pattern)
        for name, problem in problems.items():
            matched = site.fullmatch(name)
            assert matched is not None  # or it would be no patient
            found.append(SubjectRecord(name, matched.groupdict().get("site") or "unknown", {}, problem))
        return sorted(found, key=lambda record: record.subject)

    def _is_patient(self, name: str) -> bool:
        return re.fullmatch(self.settings.subject_pattern, name) is not None

    def _facts(self, raw_dir: Path, patient: str) -> dict[str, Any]:
        path = _facts_file(raw_dir, patient)
        return read_json(path) if path.is_file() else {}

    def _is_converted(self, raw_dir: Path, patient: str) -> bool:
        return "series" in self._facts(raw_dir, patient)

    def _is_current(self, folder: Path, code: str) -> bool:
        facts = self._facts(folder.parent, folder.name)
        if "series" not in facts or (facts.get("from"), facts.get("code")) != (_listing(folder), code):
            return False
        # files of the same size that came later; not their own times, which unpackers take from the archive
        written = _facts_file(folder.parent, folder.name).stat().st_mtime_ns
        return all(path.stat().st_ctime_ns <= written for path in files_below(folder) if path.is_file())

    def _made_by_other_code(self, raw_dir: Path, patient: str, code: str) -> bool:
        return self._is_converted(raw_dir, patient) and self._facts(raw_dir, patient).get("code") != code

    def _code(self) -> str:
        """What decides the bytes of the volumes, beside the DICOM files."""
        from xmodbench.data.volumes import dicom_volumes
        from xmodbench.plugins.code_hash import files_hash

        return sha256_json([self.series, files_hash(Path(dicom_volumes.__file__))])[:16]

    def _convert(self, folder: Path, out: Path, progress: Progress) -> dict[str, Any]:
        """Facts for ``series.json``: what was made of the series, or what is wrong with them."""
        from xmodbench.data.volumes.dicom_volumes import convert_patient

        try:
            series = convert_patient(folder, out, self.series)
        except UserError as error:
            problem = str(error).replace(f"{folder.parent}/", "")
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a header can be odd in more ways than are foreseen
            problem = f"{folder.name}: its series cannot be read ({' '.join(str(error).split())[:200]})"
        else:
            for name, facts in series.items():
                for clause in facts.get("remarks", []):
                    progress.say(f"{folder.name}, {name}: {clause}")
            return {"series": series}
        progress.say(f"{folder.name}: {problem}")
        return {"problem": problem}


def _facts_file(raw_dir: Path, patient: str) -> Path:
    """Says what the volumes beside it were made of, or why there are none; written last."""
    return Path(raw_dir) / FOLDER / patient / "series.json"


def _remarks(record: SubjectRecord, series: Mapping[str, Any]) -> dict[str, str]:
    """By modality, what was assumed when its volume was made of a series."""
    made = {
        modality: series.get(path.name.split(".")[0].rpartition("-")[2], {}) for modality, path in record.files.items()
    }
    return {modality: "; ".join(facts["remarks"]) for modality, facts in made.items() if facts.get("remarks")}


def _listing(folder: Path) -> str:
    """What a patient's volumes are made from: names and sizes of the files."""
    return sha256_json(sorted((path.name, path.stat().st_size) for path in files_below(folder) if path.is_file()))[:16]
