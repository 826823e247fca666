"""The model that `apply` translates with, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.known import FORMAT
from xmodbench.directions import AND, modalities_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file
from xmodbench.stages.given import PREPARATION, check_model
from xmodbench.stages.translate import read_model_record

MODALITIES = "--source"
"""What says of which modality the volumes are; so does a name before each, such as ``t1=``."""
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

    def sources(self, given: Sequence[str], force: bool) -> tuple[str, ...]:
        """The modalities that volumes are of, in the order of the method's channels.

        Args:
            given: those that the user names, in any order; none where it can only be one.

        Raises:
            UserError: they are not known, or the model is of others.
        """
        sources = self._trained(given) or tuple(given) or self._only()
        if self.target in sources:
            problem = f"'{self.target}' is what the model translates to"
            raise UserError(problem, MODALITIES, "name the modality of the volumes")
        others = [name for name in self.known["modalities"] if name != self.target]
        for source in sources:
            if source not in self.known["modalities"] and not force:
                problem = f"the training data have no '{source}', so that nobody knows how it was to be prepared"
                fix = f"one of {', '.join(others)}; or --force, which prepares it by percentiles"
                raise UserError(problem, MODALITIES, fix)
        return sources

    def _trained(self, given: Sequence[str]) -> tuple[str, ...]:
        """The sources of the direction that it was trained for; none where it was trained for every one."""
        trained = self.record.get("source")
        if trained is None:
            return ()
        wanted = modalities_of(trained)
        if len(wanted) > 1 and set(given) != set(wanted):
            raise UserError(f"translates from {' and '.join(wanted)} at once", self.folder, _name_each(wanted))
        if given and set(given) != set(wanted):
            problem = f"was trained from '{trained}', not '{AND.join(given)}'"
            raise UserError(problem, self.folder, "give the model of that source")
        return wanted

    def _only(self) -> tuple[str]:
        """The one source that it can be, where the user names none and none was trained."""
        least = self.record.get("handed", {}).get("sources", [1])[0]
        others = [name for name in self.known["modalities"] if name != self.target]
        if least > 1:
            raise UserError(f"translates from {least} modalities at once", self.folder, _name_each(others[:least]))
        if len(others) != 1:
            there = ", ".join(others) or "none"
            raise UserError(
                "of which modality are the volumes?", MODALITIES, f"name one; the training data have {there}"
            )
        return (others[0],)


def _name_each(modalities: Sequence[str]) -> str:
    return f"give a volume of each: {' '.join(f'{name}=FILE' for name in modalities)}"


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
        samples: images drawn for each slice, whose mean is the result.
        force: go on in spite of doubts, which are then recorded.
        orientation: directions of the axes of files that do not say them.
        series: by modality, a regular expression of a DICOM series' description; under no name, of every modality.
        dicom: write DICOM series, where DICOM is given.
    """

    samples: int = 1
    batch_size: int = 64
    force: bool = False
    orientation: str | None = None
    series: Mapping[str, str] = field(default_factory=dict)
    dicom: bool = False
