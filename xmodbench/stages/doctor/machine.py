"""The machine: processors, memory, GPU and driver, the wall, disks, locks, shared memory."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from xmodbench.commands import command
from xmodbench.data.download.remote import human_size
from xmodbench.devices import visible_gpus
from xmodbench.isolation import landlock_version
from xmodbench.plan.estimate import Estimate
from xmodbench.plan.plan import Plan
from xmodbench.plan.snakemake import locked, runner
from xmodbench.stages.doctor.fact import Fact, lacking
from xmodbench.stages.doctor.software import cuda_of_torch

GROUP = "machine"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
"""Of all features of a CPU those that decide the speed of what is done here."""
LEAST_BYTES = 1 << 30
"""Free space below which nothing is worth beginning."""
SHM_BYTES = 1 << 30
"""Shared memory below which processes of one training may fail."""


def of_machine(plan: Plan | None) -> Iterator[Fact]:
    """Facts about the machine that this is called on."""
    yield _cpu()
    yield Fact(GROUP, "memory", "ok", _memory())
    yield _gpu(plan)
    yield _wall()
    yield from _disks(plan)
    yield _locks(plan)
    yield _snakemakes_lock()
    yield _shared_memory(plan)


def _cpu() -> Fact:
    with suppress(OSError):
        words: dict[str, str] = {}
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            words.setdefault(key.strip(), value.strip())
        flags = words.get("flags", words.get("Features", "")).split()
        found = ", ".join(name for name in FLAGS if name in flags) or "none of the features that speed it up"
        return Fact(GROUP, "CPU", "ok", f"{_cores()} cores, {words.get('model name', 'unknown model')}; {found}")
    return Fact(GROUP, "CPU", "ok", f"{_cores()} cores")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    with suppress(OSError, ValueError, IndexError):
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        return f"{human_size(total)}, {human_size(free)} free"
    return "unknown"


def _gpu(plan: Plan | None) -> Fact:
    needed = plan is not None and plan.config.compute.device == "cuda"
    names = _gpus_of_driver()
    if names is None and not visible_gpus():
        fix = "`compute.device: cpu` or a machine with a GPU" if needed else ""
        return Fact(GROUP, "GPU", lacking(needed), "none: jobs run on the CPU", fix)
    if not names:
        fix = "install NVIDIA's driver: `nvidia-smi` has to list the GPU"
        return Fact(GROUP, "GPU", lacking(needed), "there is one, its driver does not answer", fix)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not visible_gpus():
        fix = "unset CUDA_VISIBLE_DEVICES"
        return Fact(GROUP, "GPU", lacking(needed), f"{'; '.join(names)}, hidden by CUDA_VISIBLE_DEVICES", fix)
    if cuda_of_torch() is None:
        fix = "install torch built for CUDA: https://pytorch.org/get-started"
        return Fact(GROUP, "GPU", lacking(needed), f"{'; '.join(names)}, which this torch cannot use", fix)
    return Fact(GROUP, "GPU", "ok", "; ".join(names))


def _gpus_of_driver() -> list[str] | None:
    """Name, memory and driver of each GPU; none where the driver does not answer, None where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if said.returncode != 0:
        return []
    rows = [[item.strip() for item in line.split(",")] for line in said.stdout.splitlines() if line.count(",") == 2]
    return [f"{name} ({memory}, driver {driver})" for name, memory, driver in rows]


def _wall() -> Fact:
    found = landlock_version()
    if found:
        return Fact(GROUP, "wall", "ok", f"Landlock {found}: the kernel keeps methods to what they may see")
    fix = "a Linux kernel of 5.13 or later with Landlock switched on (lsm=landlock,...)"
    return Fact(GROUP, "wall", "optional", "no Landlock: records will say `isolation: none`", fix)


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _folders(plan: Plan | None) -> dict[str, Path]:
    if plan is None:
        return {"here": Path()}
    paths = plan.config.paths
    return {name: Path(getattr(paths, name)) for name in ("raw", "data", "results", "work")}


def _disks(plan: Plan | None) -> Iterator[Fact]:
    """Room on each disk that the run writes to, each once, beside what it is estimated to need there."""
    needs = _needs(plan) if plan is not None else {}
    disks: dict[int, list[str]] = {}
    for name, folder in _folders(plan).items():
        disks.setdefault(_nearest(folder).stat().st_dev, []).append(name)
    for names in disks.values():
        folder = _nearest(_folders(plan)[names[0]])
        free, needed = shutil.disk_usage(folder).free, sum(needs.get(name, 0) for name in names)
        told = f"{human_size(free)} free ({', '.join(names)})"
        if needed:
            told += f", about {human_size(int(needed))} needed"
        if not os.access(folder, os.W_OK):
            yield Fact(GROUP, "disk", "missing", f"{folder} may not be written", "change its rights, or `paths`")
        elif free < max(needed, LEAST_BYTES):
            yield Fact(GROUP, "disk", "missing", told, "free some space, or put `paths` elsewhere")
        else:
            yield Fact(GROUP, "disk", "ok", told)


def _needs(plan: Plan) -> dict[str, float]:
    """Bytes that the run is estimated to write into each of its folders; of what is unknown, nothing."""
    found = {kind: one.known for kind, one in Estimate(plan).disk.items()}
    results = found["models"] + found["translations"]
    return {"raw": found["raw volumes"], "data": found["stores"], "results": results}


def _locks(plan: Plan | None) -> Fact:
    """Whether files can be held against other processes where state is kept: some network disks cannot."""
    folder = _nearest(list(_folders(plan).values())[-1])
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        fix = "mount it with locks, or see to it that no two jobs train into one folder"
        return Fact(GROUP, "file locks", "optional", f"none on {folder} ({error.strerror})", fix)
    return Fact(GROUP, "file locks", "ok", "work here")


def _snakemakes_lock() -> Fact:
    who = runner()
    if who:
        return Fact(GROUP, "Snakemake's lock", "optional", who, f"wait for it; how far it is: {command('status')}")
    if locked():
        fix = f"nothing to do: {command('run')} removes it; before another Snakemake, its option --unlock"
        return Fact(GROUP, "Snakemake's lock", "optional", "left by a run that was killed", fix)
    return Fact(GROUP, "Snakemake's lock", "ok", "free")


def _shared_memory(plan: Plan | None) -> Fact:
    needed = plan is not None and plan.config.compute.processes > 1
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return Fact(GROUP, "shared memory", lacking(needed), "no /dev/shm", "mount it: `compute.processes` needs it")
    size = status.f_bsize * status.f_blocks
    if size < SHM_BYTES:
        fix = "only `compute.processes` above 1 needs more: docker run --shm-size 4g"
        return Fact(GROUP, "shared memory", lacking(needed), human_size(size), fix)
    return Fact(GROUP, "shared memory", "ok", human_size(size))
