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

    ``<out>/acquire.record.json`` lists the subjects found, and what is wrong with those that cannot be used.

    Raises:
        UserError: the volumes are not there and cannot be had; the message says how to get them.
    """
    from xmodbench.download.disk import disk_errors

    with recorded(out, "acquire", ACQUIRED, seed=seed, raw=str(raw_dir), **facts) as record, disk_errors(raw_dir):
        dataset.acquire(raw_dir, seed, progress)
        found = dataset.volumes(raw_dir)
        record["subjects"] = {item.subject: _files(item) for item in found}
        record["problems"] = {item.subject: item.problem for item in found if item.problem}
        unusable = f", {len(record['problems'])} of no use" if record["problems"] else ""
        progress.say(f"{len(found)} subjects in {raw_dir}{unusable}")


def announce(dataset: Dataset, meta: dict[str, Any], raw_dir: Path) -> list[str]:
    """Lines that say what `acquire` would fetch, how much, and under which licence; nothing is asked or written."""
    from xmodbench.download.remote import human_size, mirrored, public

    lines = [f"{meta['label']}: {meta['summary']}", f"licence: {meta.get('licence', 'not stated')}"]
    files = dataset.archives()
    if not files:
        return [
            *lines,
            "nothing to fetch: " + ("simulated here" if dataset.simulated else f"put volumes into {raw_dir}"),
        ]
    for file in files:
        state = "there already" if (Path(raw_dir) / file.name).is_file() else human_size(file.size)
        source = public(mirrored(file.urls[0])) if file.urls else "by hand"
        lines.append(
            f"{file.name:24} {state:>14}  {source}" + (f" (or {len(file.urls) - 1} mirrors)" if file.urls[1:] else "")
        )
    missing = [file.size for file in files if not (Path(raw_dir) / file.name).is_file()]
    total = human_size(sum(missing)) if all(size is not None for size in missing) else "an unknown size"
    lines.append(f"to fetch: {len(missing)} of {len(files)} files, {total}, into {raw_dir}")
    return lines + sorted({file.note for file in files if file.note})


def _files(item) -> dict[str, dict[str, Any]]:
    return {name: {"file": Path(path).name, "bytes": _size(Path(path))} for name, path in sorted(item.files.items())}


def _size(path: Path) -> int:
    # a DICOM series is a folder
    return sum(part.stat().st_size for part in path.rglob("*")) if path.is_dir() else path.stat().st_size
