"""The record beside every output: what made it, from what, with what, and how long it took."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xmodbench import __version__
from xmodbench.errors import UserError, said
from xmodbench.files import read_json, write_json

RECORD = "record.json"
FAILURE = "failure.json"
_PACKAGES = (
    "torch",
    "diffusers",
    "numpy",
    "scipy",
    "scikit-image",
    "SimpleITK",
    "torchmetrics",
    "numba",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results."""
    return dict(_versions())


@cache  # a process that writes many records would read the packages' long descriptions for each
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "xmodbench": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> dict[str, float]:
    """Peak resident memory of this process or of the largest that it started, in MiB."""
    scale = 1024 if sys.platform.startswith("linux") else 1024**2
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return {"cpu": round(max(resource.getrusage(who).ru_maxrss for who in whose) / scale, 1)}


@contextmanager
def failing(directory: Path, verb: str, file: str, record: dict[str, Any]) -> Iterator[Path]:
    """Write down in ``directory`` why the block failed, with what `record` holds by then; yields the file's place.

    Raises:
        UserError: the block's, or one made of what it raised.
    """
    failure = directory / (FAILURE if file == RECORD else file.replace(".record.json", "." + FAILURE))
    try:
        yield failure
    except KeyboardInterrupt:
        raise
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else said(error)
        with suppress(FileExistsError, NotADirectoryError):  # a file stands in the way, which is what is told
            directory.mkdir(parents=True, exist_ok=True)
            write_json(failure, {**_jsonable(record), "status": "failed", "error": message})
        if isinstance(error, UserError):
            raise
        if not isinstance(error, OSError):
            traceback.print_exc()
        raise UserError(message, verb) from error


@contextmanager
def recorded(directory: Path, verb: str, file: str = RECORD, **facts: Any) -> Iterator[dict[str, Any]]:
    """Record a job in ``directory``: yields a dict to add facts to, and writes it last, with status ``complete``.

    When the block raises, nothing is recorded as complete; ``failure.json`` says what happened (so that the report can
    show the cell as failed) and the exception goes on. A failure that is no UserError becomes one, with the traceback on
    standard error.
    """
    directory = Path(directory)
    record: dict[str, Any] = {"verb": verb, **facts}
    started = time.time()
    with failing(directory, verb, file, record) as failure:
        yield record
    record.update(
        status="complete",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        duration_s=round(time.time() - started, 3),
        peak_memory_mb={**peak_memory_mb(), **({"gpu": gpu} if (gpu := record.pop("gpu_memory_mb", None)) else {})},
        host={"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()},
        versions=versions(),
    )
    write_json(directory / file, _jsonable(record))
    failure.unlink(missing_ok=True)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)


def read_record(directory: Path, name: str = RECORD) -> dict[str, Any]:
    """The record of a finished job.

    Raises:
        UserError: there is none, it is not of a finished job, or it holds what no job writes.
    """
    record = read_json(Path(directory) / name)
    if not isinstance(record, dict) or record.get("status") != "complete":
        raise UserError("not the record of a finished job", Path(directory) / name, "run the job again")
    memory = record.get("peak_memory_mb", {"cpu": 0.0})
    numbers = {key: record.get(key, 0) for key in ("duration_s", "parts_duration_s", "n_test", "n_train")}
    numbers |= memory if isinstance(memory, dict) and "cpu" in memory else {"peak_memory_mb": memory}
    for key, value in numbers.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise UserError(f"{key} is {value!r:.40}, which is no number", Path(directory) / name, "run the job again")
    return record


def is_recorded(directory: Path, verb: str) -> bool:
    """Whether a finished job of this verb left its record in a folder."""
    try:
        return read_record(directory).get("verb") == verb
    except UserError:
        return False


def other_than(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """How what made something differs from what was wanted, such as ``image_size 32, not 48``; None where it does not.

    Args:
        found: of a record or manifest. What it does not tell is not compared.
        wanted: plugin, seed and settings of the plan; of settings only those that decide.
    """
    for key in ("plugin", "seed"):
        if key in wanted and found.get(key) not in (None, wanted[key]):
            return f"{key} {found[key]}, not {wanted[key]}"
    settings = found.get("settings")
    if not isinstance(settings, Mapping):
        return None
    decisive = wanted.get("settings", {})
    return _difference({key: settings.get(key) for key in decisive}, decisive, "")


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], path: str) -> str | None:
    for key in sorted({*found, *wanted}):
        one, other = found.get(key), wanted.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if (difference := _difference(one, other, f"{path}{key}.")) is not None:
                return difference
        elif one != other:
            return f"{path}{key} {_short(one)}, not {_short(other)}"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
