"""acquire: make a data set's raw volumes be there, and write down what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.download.fetched import ACQUIRED
from xmodbench.data.raw_state import RawState
from xmodbench.data.volumes.elsewhere import volume_files
from xmodbench.data.volumes.names import check_names
from xmodbench.errors import amount
from xmodbench.files import files_below, relative_name
from xmodbench.plugins import Dataset
from xmodbench.progress import Progress
from xmodbench.records import recorded

if TYPE_CHECKING:
    from xmodbench.plugins import RemoteFile, SubjectRecord


def acquire(
    dataset: Dataset, raw_dir: Path, out: Path, seed: int, progress: Progress, seen: str | None = None, **facts: Any
) -> None:
    """Let the data set fetch or simulate its volumes into ``raw_dir``.

    ``<out>/acquire.record.json`` lists the subjects found, and what is wrong with those that cannot be used;
    ``<out>/raw.json`` the contents of the folder (`RawState`), with what the plan had `seen` of it.

    Raises:
        UserError: the volumes are not there and cannot be had; the message says how to get them.
    """
    from xmodbench.data.download.disk import disk_errors

    with recorded(out, "acquire", ACQUIRED, seed=seed, raw=str(raw_dir), **facts) as record, disk_errors(raw_dir):
        dataset.acquire(raw_dir, seed, progress)
        found = dataset.volumes(raw_dir)
        check_names(found, getattr(dataset.settings, "exclude", ()), raw_dir)
        record["subjects"] = {item.subject: _files(item, raw_dir) for item in found}
        record["problems"] = {item.subject: item.problem for item in found if item.problem}
        unusable = f", {len(record['problems'])} of no use" if record["problems"] else ""
        progress.say(f"{amount(len(found), 'subject')} in {raw_dir}{unusable}")
        RawState.of(raw_dir, RawState.read(out), seen).write(out)


def announce(dataset: Dataset, meta: dict[str, Any], raw_dir: Path) -> list[str]:
    """Lines that say what `acquire` would fetch, how much, and under which licence; nothing is asked or written."""
    from xmodbench.data.download.remote import human_size

    lines = [f"{meta['label']}: {meta['summary']}", f"licence: {meta.get('licence', 'not stated')}"]
    files = dataset.archives()
    if not files:
        made = "simulated here" if dataset.simulated else f"put volumes into {raw_dir}"
        return [*lines, f"nothing to fetch: {made}"]
    if isinstance(dataset, FromArchives):
        needed, lacking = {file.name for file in dataset.needed(raw_dir)}, dataset.lacking(raw_dir)
    else:
        needed, lacking = {file.name for file in files}, [file for file in files if not (raw_dir / file.name).is_file()]
    names = {file.name for file in lacking}
    for file in files:
        here = "there already" if file.name in needed else "not needed"
        state = _coming(file, raw_dir) if file.name in names else here
        lines.append(f"{file.name:24} {state:>20}  {_source(file)}")
    left = [file.size - _came(file, raw_dir) for file in lacking if file.size is not None]
    total = human_size(sum(left)) if len(left) == len(lacking) else "an unknown size"
    lines.append(f"to fetch: {len(lacking)} of {len(files)} files, {total}, into {raw_dir}")
    return lines + sorted({file.note for file in lacking if file.note})


def _coming(file: RemoteFile, raw_dir: Path) -> str:
    from xmodbench.data.download.remote import human_size

    came, size = _came(file, raw_dir), human_size(file.size)
    return f"{human_size(came)} of {size}" if came else size


def _came(file: RemoteFile, raw_dir: Path) -> int:
    """Bytes that an interrupted download left, from which the next goes on."""
    part = raw_dir / f"{file.name}.part"
    return part.stat().st_size if part.is_file() else 0


def _source(file: RemoteFile) -> str:
    from xmodbench.data.download.remote import mirrored, public

    source = public(mirrored(file.urls[0])) if file.urls else "by hand"
    return source + (f" (or {len(file.urls) - 1} mirrors)" if file.urls[1:] else "")


def _files(item: SubjectRecord, raw_dir: Path) -> dict[str, dict[str, Any]]:
    return {
        name: {"file": relative_name(path, raw_dir), "bytes": _size(Path(path))}
        for name, path in sorted(item.files.items())
    }


def _size(path: Path) -> int:
    # a DICOM series is a folder
    parts = files_below(path) if path.is_dir() else volume_files(path)
    return sum(part.stat().st_size for part in parts if part.is_file())
