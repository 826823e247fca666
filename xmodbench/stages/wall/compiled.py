"""What a method's compilers made, shared by its jobs: made once for each version of its code, where there are no data.

Every job has compilers' caches of its own, or one method could leave in them what another must not see. That would compile
the same functions in every job; so a method may compile them beforehand (`Method.compile_kernels`, announced by
``compiles: true`` in its YAML), behind a wall within which lies nothing but code. Jobs get copies of what that left.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from xmodbench.data.download.disk import exclusive
from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, sha256_json
from xmodbench.records import versions
from xmodbench.stages.wall.method_job import MethodJob
from xmodbench.stages.wall.process import PluginProcess


def compiled(job: MethodJob, **options: Any) -> Path | None:
    """Folder of what the method's compilers made, which is made now where it is not there; None if it compiles nothing.

    A failure costs time, no result: it is said, and each job compiles for itself.

    Args:
        options: of `PluginProcess`, such as limits.
    """
    if not job.location.meta().get("compiles"):
        return None
    try:
        what = [job.location.code_hash, _files(job.location.folder), versions(), _processor()]
        kept = _cache_folder() / f"{job.location.id}-{sha256_json(what)[:16]}"
        with exclusive(kept.with_suffix(".lock"), wait=True):
            if not kept.is_dir():
                job.progress.say(f"compiling {job.location.id}, once for this version of its code")
                with PluginProcess(job, "compile", **options) as process:
                    process.perform("compile")
                    with atomic_dir(kept) as folder:
                        shutil.copytree(process.cache, folder, dirs_exist_ok=True, symlinks=True)
    except (OSError, UserError) as error:
        job.progress.say(f"nothing compiled beforehand: {error}")
        return None
    return kept


def _cache_folder() -> Path:
    """Folder of this user's compiled functions, under ``XDG_CACHE_HOME``."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "xmodbench" / "compiled"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _files(folder: Path) -> list[tuple[str, int]]:
    """The code's files and their times: numba takes what it compiled of a file for another's where either differs."""
    return [(str(path), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*.py"))]


def _processor() -> str:
    """Architecture and model of the processor: compiled code is for one of them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return " ".join([platform.machine(), *sorted(names)])
