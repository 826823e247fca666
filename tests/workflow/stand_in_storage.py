"""A storage that is a folder, as a plugin that Snakemake finds; and a scheduler that gives every job an empty folder.

The plugin is as small as its interface lets it be, for tests that need no more than that files have to be declared. The
published plugins are tried in tests that take longer.
"""

from __future__ import annotations

from pathlib import Path

PLUGIN = """
import shutil
from pathlib import Path

from snakemake_interface_storage_plugins.io import Mtime
from snakemake_interface_storage_plugins.storage_object import StorageObjectRead, StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import StorageProviderBase, StorageQueryValidationResult


class StorageProvider(StorageProviderBase):
    example_queries = classmethod(lambda cls: [])
    rate_limiter_key = lambda self, query, operation: None
    default_max_requests_per_second = lambda self: 10.0
    use_rate_limiter = lambda self: False
    list_objects = lambda self, query: map(str, Path(query).rglob("*"))

    @classmethod
    def is_valid_query(cls, query):
        return StorageQueryValidationResult(query=query, valid=True)


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


class StorageObject(StorageObjectRead, StorageObjectWrite):
    place = property(lambda self: Path(self.query))
    get_inventory_parent = lambda self: None
    local_suffix = lambda self: self.query.lstrip("/")
    cleanup = lambda self: None
    exists = lambda self: self.place.exists()
    mtime = lambda self: self.place.stat().st_mtime
    size = lambda self: self.place.stat().st_size
    retrieve_object = lambda self: copy(self.place, self.local_path())
    store_object = lambda self: copy(self.local_path(), self.place)

    def remove(self):
        shutil.rmtree(self.place) if self.place.is_dir() else self.place.unlink(missing_ok=True)

    async def inventory(self, cache):
        key = self.cache_key()
        if key not in cache.exists_in_storage:
            cache.exists_in_storage[key] = self.exists()
            if self.exists():
                cache.mtime[key] = Mtime(storage=self.mtime())
                cache.size[key] = self.size()
"""

SUBMIT = """#!/bin/bash
folder=$(mktemp -d "{folder}/jobs/XXXXXX")
cp "$1" "$folder/job.sh"
(cd "$folder"; (bash job.sh > out 2>&1; echo $? > rc) < /dev/null > /dev/null 2>&1 &)
echo "$folder"
"""

STATUS = """#!/bin/bash
if [ ! -f "$1/rc" ]; then echo running; elif [ "$(cat "$1/rc")" = 0 ]; then echo success; else echo failed; fi
"""


def plugin(folder: Path) -> Path:
    """Write the plugin, whose name is ``folder``; returns what has to be on the path for Snakemake to find it."""
    place = folder / "plugins"
    (place / "snakemake_storage_plugin_folder").mkdir(parents=True)
    (place / "snakemake_storage_plugin_folder" / "__init__.py").write_text(PLUGIN)
    return place


def a_folder_for_every_job(folder: Path) -> list[str]:
    """Write the scheduler into a folder, where jobs' folders stay; returns Snakemake's options for it.

    Jobs get the files of the checkout that Snakemake is started in, as they would in a pod.
    """
    (folder / "jobs").mkdir(parents=True)
    for name, text in {"submit": SUBMIT.format(folder=folder), "status": STATUS}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    scheduler = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(folder / "submit")]
    scheduler += ["--cluster-generic-status-cmd", str(folder / "status"), "--seconds-between-status-checks", "1"]
    return [*scheduler, "--shared-fs-usage", "none", "--job-deploy-sources", "--jobs", "2"]
