"""prepare: raw volumes to the slice stores ``train`` and ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.plugins import Dataset
from xmodbench.progress import Progress
from xmodbench.records import recorded


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
        UserError: volumes that cannot be used; the message names the file and what to do.
    """
    from xmodbench.data.download.disk import disk_errors
    from xmodbench.data.volumes.prepare import prepare_dataset

    with recorded(out, "prepare", seed=seed, raw=str(raw_dir), **facts), disk_errors(out):
        prepare_dataset(dataset, raw_dir, out, dataset_id=name, seed=seed, threads=threads, progress=progress)
