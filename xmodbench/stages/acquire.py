"""acquire: make a data set's raw volumes be there, and write down what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.plugins import Dataset
from xmodbench.progress import Progress
from xmodbench.records import recorded

ACQUIRED = "acquire.record.json"


def acquire(dataset: Dataset, raw_dir: Path, out: Path, seed: int, progress: Progress, **facts: Any) -> None:
    """Let the data set fetch or simulate its volumes into ``raw_dir``.

    ``<out>/acquire.record.json`` lists the subjects found.

    Raises:
        UserError: the volumes are not there and cannot be had; the message says how to get them.
    """
    with recorded(out, "acquire", ACQUIRED, seed=seed, raw=str(raw_dir), **facts) as record:
        dataset.acquire(raw_dir, seed, progress)
        found = dataset.volumes(raw_dir)
        record["subjects"] = {item.subject: _files(item) for item in found}
        progress.say(f"{len(found)} subjects in {raw_dir}")


def _files(item) -> dict[str, dict[str, Any]]:
    return {
        name: {"file": Path(path).name, "bytes": _size(Path(path))}
        for name, path in sorted(item.files.items())
    }


def _size(path: Path) -> int:
    # a DICOM series is a folder
    return sum(part.stat().st_size for part in path.rglob("*")) if path.is_dir() else path.stat().st_size
