"""The model that `apply` translates with, and what it is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.known import FORMAT
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file
from xmodbench.stages.given import PREPARATION, check_model
from xmodbench.stages.translate import read_model_record

TRAIN_AGAIN = "prepare the data set and train the model again: a training keeps that now"


@dataclass(frozen=True)
class Model:
    """A trained model with what it knows of the volumes it was trained on.

    Attributes:
        record: of its training.
        known: see `xmodbench.data.volumes.known`.
    """

    folder: Path
    record: dict[str, Any]
    known: dict[str, Any]

    @property
    def target(self) -> str:
        """The modality it translates to."""
        return self.record["target"]

    def method(self, other: str | None, settings: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        """Name, plugin and settings of the method that is to translate: the one that was trained, or another by its id.

        Args:
            settings: over those of the training; of another method they stand alone.
        """
        if other not in (None, self.record["plugin"]):
            return other or "", other or "", settings
        return self.record["name"], self.record["plugin"], {**self.record["settings"], **settings}

    def source(self, given: str | None, force: bool) -> str:
        """The modality that volumes are of: as the user says, or the only one that it can be.

        Raises:
            UserError: it is not known, or the model is of another.
        """
        self._check_single()
        trained, others = self.record.get("source"), [name for name in self.known["modalities"] if name != self.target]
        if trained is not None and given not in (None, trained):
            raise UserError(
                f"was trained from '{trained}', not '{given}'", self.folder, "give the model of that source"
            )
        source = trained or given or (others[0] if len(others) == 1 else None)
        if source is None:
            there = ", ".join(others) or "none"
            raise UserError(
                "of which modality are the volumes?", "--source", f"name one; the training data have {there}"
            )
        if source == self.target:
            raise UserError(
                f"'{source}' is what the model translates to", "--source", "name the modality of the volumes"
            )
        if source not in self.known["modalities"] and not force:
            problem = f"the training data have no '{source}', so that nobody knows how it was to be prepared"
            fix = f"one of {', '.join(others)}; or --force, which prepares it by percentiles"
            raise UserError(problem, "--source", fix)
        return source

    def _check_single(self) -> None:
        """Raise UserError for a model that translates from several modalities at once: a volume is of one."""
        least = self.record.get("handed", {}).get("sources", [1])[0]
        trained = self.record.get("source")
        if least > 1 or (trained is not None and len(modalities_of(trained)) > 1):
            several = f"'{trained}'" if trained else f"{least} modalities"
            fix = f"prepare a data set with {several}, and name the direction in a config"
            raise UserError(f"translates from {several} at once, and apply takes volumes of one", self.folder, fix)


def read_model(folder: Path) -> Model:
    """A model folder of a run.

    Raises:
        UserError: it is none, is a control's, was trained before models kept their preparation, or was changed since.
    """
    record = read_model_record(folder)
    if record.get("supervision") == "control":
        problem = f"'{record.get('name')}' is a control: it answers for a whole test set, whose targets it is shown"
        raise UserError(problem, folder, "give the model of a method")
    if not (folder / PREPARATION).is_file():
        raise UserError(f"does not say how its volumes were prepared (no {PREPARATION})", folder, TRAIN_AGAIN)
    check_model(folder, record)
    known = read_json(folder / PREPARATION)
    if record.get("preparation_file_sha256") not in (None, sha256_file(folder / PREPARATION)):
        raise UserError("not the one that its training wrote", folder / PREPARATION, "put that back, or train it again")
    if not isinstance(known, dict) or known.get("format") != FORMAT or "target" not in record:
        raise UserError("of another version of xmodbench", folder / PREPARATION, "train the model again")
    return Model(folder, record, known)


@dataclass(frozen=True)
class Wish:
    """What the user wants of `apply`.

    Attributes:
        source: modality of the volumes, None where it can only be one.
        samples: images drawn for each slice, whose mean is the result.
        force: go on in spite of doubts, which are then recorded.
        orientation: directions of the axes of files that do not say them.
        series: regular expression of a DICOM series' description.
        dicom: write DICOM series, where DICOM is given.
    """

    source: str | None = None
    samples: int = 1
    batch_size: int = 64
    force: bool = False
    orientation: str | None = None
    series: str | None = None
    dicom: bool = False
