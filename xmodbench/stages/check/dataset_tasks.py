"""What a data set under check is asked, behind its wall."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.data.volumes.settings import Preparation, Split
from xmodbench.errors import UserError
from xmodbench.plugins import RemoteFile, SubjectRecord
from xmodbench.stages.check.plain import PlainTasks
from xmodbench.stages.wall.refusals import chain

TRIED = 3
"""Subjects that slices are made of."""


class ExaminedDataset(PlainTasks):
    """A data set whose functions are called as the stages do."""

    may = "what lies in the raw folder"
    writes = "that folder in acquire; what it fetches from the web is named by archives()"

    def described(self) -> dict[str, Any]:
        """What it says without any volumes."""
        super().described()
        if not isinstance(self.plugin.settings, Preparation):
            fix = "subclass xmodbench.data.volumes.settings.Preparation, which says how slices are made"
            raise UserError("Config is no Preparation", self.location.where, fix)
        modalities = self.guarded("modalities", self.plugin.modalities)
        archives = self.guarded("archives", self.plugin.archives)
        if not isinstance(archives, list) or not all(isinstance(file, RemoteFile) for file in archives):
            where = f"dataset '{self.location.id}', archives"
            raise UserError(
                f"returned {type(archives).__name__}, expected a list of RemoteFile", where, "see its fields"
            )
        named = modalities if isinstance(modalities, (list, tuple)) else [repr(modalities)]
        return {"modalities": [str(name) for name in named], "archives": [file.name for file in archives]}

    def acquire(self, raw: str, seed: int) -> dict[str, Any]:
        """Let it make or find its volumes; ``says``: how to get them, where it cannot."""

        def ask() -> str | None:
            try:
                self.plugin.acquire(Path(raw), seed, self.progress)
            except UserError as error:
                if any(isinstance(cause, (PermissionError, socket.gaierror)) for cause in chain(error)):
                    raise (error.__cause__ or error.__context__ or error) from None
                return str(error)
            return None

        return {"says": self.guarded("acquire", ask)}

    def volumes(self, raw: str) -> dict[str, Any]:
        """The subjects it finds, twice."""
        return {"found": [self._volumes(Path(raw)), self._volumes(Path(raw))]}

    def _volumes(self, raw: Path) -> list[dict[str, Any]]:
        found = self.guarded("volumes", lambda: self.plugin.volumes(raw))
        where = f"dataset '{self.location.id}', volumes"
        fix = "return [SubjectRecord(subject, site, {modality: path}), ...]"
        if not isinstance(found, list):
            raise UserError(f"returned {type(found).__name__}, expected a list of SubjectRecord", where, fix)
        for item in found:
            if not isinstance(item, SubjectRecord):
                raise UserError(f"returned a list with {type(item).__name__}, expected SubjectRecord", where, fix)
            if not (isinstance(item.subject, str) and isinstance(item.site, str) and isinstance(item.files, dict)):
                raise UserError(f"the record of {item.subject!r:.40} has no texts and a dict of paths", where, fix)
        return [
            {
                "subject": item.subject,
                "site": item.site,
                "files": {str(name): str(path) for name, path in item.files.items()},
                "problem": item.problem,
            }
            for item in found
        ]

    def prepare(self, raw: str, out: str, seed: int) -> dict[str, Any]:
        """Make slices of a few subjects."""
        modalities, find = set(self.plugin.modalities()), self.plugin.volumes
        settings = self.plugin.settings
        # a split by name, or into so many, is for all subjects
        self.plugin.settings = settings.model_copy(update={"split": Split()})

        def few(raw_dir: Path) -> list[SubjectRecord]:
            whole = [item for item in find(raw_dir) if set(item.files) >= modalities and not item.problem]
            return [replace(item) for item in whole[:TRIED]]

        self.plugin.volumes = few
        self.guarded(
            "prepare",
            lambda: prepare_dataset(
                self.plugin,
                Path(raw),
                Path(out),
                dataset_id=self.location.id,
                seed=seed,
                threads=1,
                progress=self.progress,
            ),
        )
        return {}
