"""Where jobs find and leave files: a disk that all share, or a storage that Snakemake copies from and to.

On a disk a job's output is its record, which it writes last into a folder full of arrays. Through a storage (Snakemake's
``--default-storage-provider``) only what is declared travels: there the whole folder is the output, and a job's copies of
its inputs lie in another place than the plan says.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Storage:
    """What Snakemake was told of files.

    Args:
        workflow: Snakemake's, as the Snakefile has it; without one there is but the disk.
    """

    def __init__(self, workflow: Any = None):
        self.provider, self.prefix = None, ""
        if workflow is not None and workflow.storage_settings.default_storage_provider is not None:
            self.provider = workflow.storage_registry.default_storage_provider
            look_again_for_folders(self.provider)
            self.prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")

    @property
    def is_disk(self) -> bool:
        """Whether all jobs see the folders of the plan."""
        return self.provider is None

    def made(self, record: str) -> Any:
        """The output that stands for a folder: the file in it that is written last, or the folder itself."""
        if self.is_disk:
            return record
        from snakemake.io import directory

        return directory(os.path.dirname(record))

    def folder(self, made: Any) -> Any:
        """For params: the folder that an input or output stands for."""
        if self.is_disk:
            from snakemake.ioutils.subpath import subpath

            return subpath(made, parent=True)
        return made

    def own(self, path: str) -> Any:
        """An input that a person has on the disk of the machine that Snakemake runs on, and not in the storage."""
        if self.is_disk:
            return path
        from snakemake.io import local

        return local(path)

    def here(self, path: Path | str) -> Path:
        """Where a job finds a path of the plan: there, or where its copy from the storage lies."""
        if self.provider is None:
            return Path(path)
        return Path(self.provider.object(self.address(path)).local_path())

    def address(self, path: Path | str) -> str:
        """Where a person finds a path of the plan after the run."""
        if self.is_disk:
            return str(path)
        return f"{self.prefix}/{os.path.normpath(path)}"


def look_again_for_folders(provider: Any) -> None:
    """Let no object of a storage remember that a folder is not there.

    Those of Snakemake's S3 plugin (0.3.6) do, from before a job runs, and then miss what it left from another machine.
    """
    objects = provider.get_storage_object_cls()

    def known(self: Any) -> bool | None:
        return vars(self).get("_is_dir") or None

    def remember(self: Any, found: bool | None) -> None:
        vars(self)["_is_dir"] = found

    if hasattr(objects, "is_dir"):
        objects._is_dir = property(known, remember)
