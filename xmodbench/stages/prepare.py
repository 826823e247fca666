"""prepare: raw volumes to the slice stores ``train`` and ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.commands import instead
from xmodbench.data.download.fetched import ACQUIRED
from xmodbench.data.raw_state import RawState, state_name
from xmodbench.data.volumes.elsewhere import volume_files
from xmodbench.errors import UserError
from xmodbench.files import relative_name, sha256_file
from xmodbench.plugins import Dataset
from xmodbench.progress import Progress
from xmodbench.records import read_record, recorded


def prepare(
    dataset: Dataset,
    raw_dir: Path,
    out: Path,
    *,
    name: str,
    seed: int,
    threads: int,
    progress: Progress,
    **facts: Any,
) -> None:
    """Write ``<out>/train`` and ``<out>/test``; the record comes last.

    Raises:
        UserError: volumes that cannot be used, or that are not those which were acquired; the message names the file and
            what to do.
    """
    from xmodbench.data.download.disk import disk_errors
    from xmodbench.data.volumes.prepare import prepare_dataset

    with recorded(out, "prepare", seed=seed, raw=str(raw_dir), **facts) as record, disk_errors(out):
        check_acquired(dataset, raw_dir, out, seed)
        prepare_dataset(dataset, raw_dir, out, dataset_id=name, seed=seed, threads=threads, progress=progress)
        parts = ("train", "test")
        record["stores_sha256"] = {part: sha256_file(Path(out) / part / "manifest.json") for part in parts}


def check_acquired(dataset: Dataset, raw_dir: Path, out: Path, seed: int) -> None:
    """Refuse volumes that are not those which `acquire` left, where it has been here.

    Raises:
        UserError: another file stands under a name, one has gone or is new, or the scans were simulated otherwise.
    """
    fix = f"run `{instead('acquire', without=('--threads',))}`"
    if (problem := dataset.outdated(raw_dir, seed)) is not None:
        raise UserError(problem, raw_dir, fix)
    state = RawState.read(out)
    if state is None or not (Path(out) / ACQUIRED).is_file():
        return
    acquired = read_record(out, ACQUIRED).get("subjects", {})
    before = {item["file"] for files in acquired.values() for item in files.values()}
    paths = [Path(path) for record in dataset.volumes(raw_dir) for path in record.files.values()]
    now = {relative_name(path, raw_dir) for path in paths}
    now |= {state_name(file, raw_dir) for path in paths for file in volume_files(path)[1:]}
    if (difference := state.difference(raw_dir, only=before | now)) is not None:
        raise UserError(f"{difference} since it was acquired", raw_dir, fix)
