"""Whether a data set keeps its contract, on volumes that it makes itself or on some that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from xmodbench.data.volumes.names import check_names
from xmodbench.data.volumes.remarks import remarks
from xmodbench.errors import UserError, did_you_mean
from xmodbench.plugins import Dataset, SubjectRecord
from xmodbench.plugins.discovery import Location
from xmodbench.plugins.settings import Modality
from xmodbench.stages.check.findings import Check, Finding, NotAsked, Room, check_readme, findings
from xmodbench.stages.check.plain import PlainProcess
from xmodbench.store import SliceStore

TASKS = "xmodbench.stages.check.dataset_tasks:ExaminedDataset"
SEED = 3


def check_dataset(
    location: Location[Dataset], where: Room, settings: dict[str, Any] | None, raw: Path | None
) -> Iterator[Finding]:
    """Put a data set through all checks; each cause is told once.

    Args:
        raw: volumes to try it on; those that it makes itself if left out.
    """
    yield from findings(_Checked(location, where, settings, raw).checks(), where)


class _Checked:
    def __init__(self, location: Location[Dataset], room: Room, settings: dict[str, Any] | None, given: Path | None):
        self.location, self.room, self.settings, self.given = location, room, settings, given
        self.modalities: list[str] = []

    def checks(self) -> list[Check]:
        """All of them, in order."""
        return [
            Check("README.md stands beside the code", self.has_readme, apart=True),
            Check("dataset.yaml says what it should, and the import is quick: no torch at the top", self.is_imported),
            Check("acquire writes into the raw folder alone and connects to nothing undeclared", self.is_acquired),
            Check("volumes names each subject once, with files that are there, and the same each time", self.is_found),
            Check("prepare makes slices of them", self.is_prepared),
        ]

    def has_readme(self) -> None:
        """Others are told what it is."""
        check_readme(self.location, "say there where the volumes come from")

    def is_imported(self) -> None:
        """The process says which modalities there are and what would be fetched."""
        with self._process("import") as process:
            self.modalities, self.archives = process.described["modalities"], process.described["archives"]
        where = f"{self.location.where}: modalities"
        for name in self.modalities:
            try:
                TypeAdapter(Modality).validate_python(name)
            except ValidationError:
                fix = "return ids of small letters, digits and underscores, such as ('t1', 'pd')"
                raise UserError(f"'{name:.40}' is no id", where, fix) from None
        if len(set(self.modalities)) < 2:
            raise UserError(f"there are {len(set(self.modalities))}", where, "a translation needs two")

    def is_acquired(self) -> None:
        """In a folder of its own, empty as it is for a new user."""
        if self.given is not None:
            if not self.given.is_dir():
                raise UserError("no such folder", f"--raw {self.given}", "give that of the volumes")
            self.raw = self.given.resolve()
            return
        self.raw = self.room.folder / "raw"
        if self.archives:
            raise NotAsked(f"it would fetch {len(self.archives)} files; give --raw FOLDER, with the volumes in it")
        self.raw.mkdir()
        with self._process("acquire", write=(self.raw,)) as process:
            done = process.perform("acquire", raw=str(self.raw), seed=SEED)
        self._look(done)
        if done["says"] is not None:
            said = done["says"].replace(f"{self.raw}: ", "")
            raise NotAsked(f"it says: {said}; give --raw FOLDER to try it on some")

    def is_found(self) -> None:
        """The records of the subjects."""
        with self._process("volumes", read=(self.raw,)) as process:
            done = process.perform("volumes", raw=str(self.raw))
        self._look(done)
        found, again = done["found"]
        where = f"dataset '{self.location.id}', volumes"
        if not found:
            raise UserError(
                f"found no subject in {self.raw}", where, "see that acquire and volumes mean the same files"
            )
        check_names([SubjectRecord(item["subject"], item["site"], {}) for item in found], (), self.raw)
        for item in found:
            self._check_record(item, where)
        if [item["subject"] for item in found] != sorted(item["subject"] for item in found):
            raise UserError("the subjects are not sorted", where, "sorted(records, key=lambda record: record.subject)")
        if found != again:
            raise UserError("two calls answer differently", where, "sort what a folder lists, and draw nothing")
        self._check_usable(found, where)

    def _check_usable(self, found: list[dict[str, Any]], where: str) -> None:
        """Some subject has all that it needs."""
        useless = [item for item in found if item["problem"]]
        if useless:
            problem = f"{useless[0]['subject']}: {useless[0]['problem']}"
            if len(useless) == len(found):
                raise UserError(f"no subject can be used, {problem}", where, "mend that, or give others")
            self.room.warn(f"{len(useless)} of {len(found)} subjects are of no use, such as {problem}")
        lacking = [item for item in found if not item["problem"] and set(self.modalities) - set(item["files"])]
        if len(lacking) + len(useless) == len(found):
            absent = sorted(set(self.modalities) - set(lacking[0]["files"]))
            problem = f"no subject has every modality: {lacking[0]['subject']} lacks {', '.join(absent)}"
            raise UserError(problem, where, "name the files by the ids that modalities() gives")
        if lacking:
            first = lacking[0]["subject"]
            self.room.warn(f"{len(lacking)} of {len(found)} subjects lack a modality, such as {first}")

    def _check_record(self, item: dict[str, Any], where: str) -> None:
        subject = item["subject"]
        if not subject.strip() or "/" in subject or subject in (".", ".."):
            raise UserError(f"'{subject:.40}' is no name of a subject", where, "give it a name without slashes")
        for name, text in item["files"].items():
            path = Path(text)
            if name not in self.modalities:
                near = did_you_mean(name, self.modalities) or f"modalities() gives {', '.join(self.modalities)}"
                raise UserError(f"{subject} has a file of '{name}', which is no modality", where, near)
            if not path.is_absolute() or not path.resolve().is_relative_to(self.raw):
                fix = "name files by raw_dir / ..."
                raise UserError(f"{subject}, {name}: {text} lies outside the raw folder", where, fix)
            if not path.exists() and not item["problem"]:
                fix = "leave a modality without a file out of the record"
                raise UserError(f"{subject}, {name}: there is no file {path.relative_to(self.raw)}", where, fix)

    def is_prepared(self) -> None:
        """Stores of a few subjects, whose slices are not all empty."""
        with self._process("prepare", read=(self.raw,)) as process:
            self._look(process.perform("prepare", raw=str(self.raw), out=str(process.out), seed=SEED))
            for part in ("train", "test"):
                store = SliceStore(process.out / part)
                store.verify()
                for name in store.modalities:
                    if np.ptp(np.asarray(store.array(name))) == 0:
                        problem, fix = f"all slices of {name} are constant", "see `normalise`, and the volumes' values"
                        raise UserError(problem, f"dataset '{self.location.id}', prepare", fix)
                for line in remarks(store.manifest):
                    self.room.warn(line)

    def _process(self, what: str, read: tuple[Path, ...] = (), write: tuple[Path, ...] = ()) -> PlainProcess:
        return PlainProcess(self.room, self.location, TASKS, what, self.settings, read, write)

    def _look(self, done: dict[str, Any]) -> None:
        if done["looked_for"]:
            self.room.warn(f"looked for what is not there for it: {', '.join(done['looked_for'])}")
