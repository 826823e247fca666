"""An estimate in words for people, and in values for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from xmodbench.data.download.remote import human_size
from xmodbench.errors import amount
from xmodbench.plan.estimate import OF_METHODS, Estimate, Sum, total
from xmodbench.plugins.shape import Shape

UNKNOWN = "unknown"


def told(estimate: Estimate) -> str:
    """The whole, a few lines for each question."""
    plan = estimate.plan
    todo, all_of_it = estimate.list.count(estimate.to_do), estimate.list.count()
    lines = [f"{plan.where}: run '{plan.config.run}'", "", f"{'jobs':<16}{'all':>7}{'to do':>7}"]
    lines += [f"{rule:<16}{count:>7}{todo.get(rule, 0):>7}" for rule, count in all_of_it.items()]
    lines += [f"{'together':<16}{sum(all_of_it.values()):>7}{sum(todo.values()):>7}", ""]
    lines += [f"{name}: {_slices(found)}" for name, found in estimate.slices.items()]
    lines += [*_left_out(estimate), *_environments(estimate)]
    return "\n".join([*lines, "", *_download(estimate), *_disk(estimate), *_hours(estimate), *_basis(estimate)])


def _left_out(estimate: Estimate) -> Iterator[str]:
    """Methods that do not stand in every direction."""
    for name, found in estimate.plan.left_out.items():
        takes = Shape.of(estimate.plan.methods[name].plugin.cls).counted()
        yield f"'{name}' takes {takes}: not in {', '.join(f'{direction} of {dataset}' for dataset, direction in found)}"


def _environments(estimate: Estimate) -> Iterator[str]:
    """Methods whose jobs run in an environment of their own."""
    for wanted in estimate.plan.environments.values():
        by = "conda" if wanted.by_conda else "uv"
        state = (
            "built" if wanted.is_built else f"not built yet: {by} does it once, before the first job (size {UNKNOWN})"
        )
        yield f"environment of '{wanted.plugin}' ({wanted.file.name}): {state}"


def _slices(found) -> str:
    numbers = [
        f"{'unknown' if count is None else count} {name}"
        for name, count in (("training", found.train), ("test", found.test))
    ]
    return f"{' and '.join(numbers)} slices of {found.size} px ({found.basis})"


def _download(estimate: Estimate) -> Iterator[str]:
    found = estimate.download
    if not found.known and not found.unknown:
        yield "download   nothing"
        return
    sizes = [human_size(int(found.known))] if found.known else []
    sizes += [f"{name}: size {UNKNOWN}" for name in found.unknown]
    yield f"download   {', '.join(sizes)}"


def _disk(estimate: Estimate) -> Iterator[str]:
    whole = total(estimate.disk.values())
    parts = [f"{kind} {_sized(one)}" for kind, one in estimate.disk.items() if one.known or one.unknown]
    yield f"disk       {_sized(whole)}" + (f": {', '.join(parts)} (estimates)" if parts else "")


def _sized(one: Sum) -> str:
    size = human_size(int(one.known)) if one.known or not one.unknown else ""
    return " and ".join([*filter(None, [size]), *([UNKNOWN] if one.unknown else [])])


def _hours(estimate: Estimate) -> Iterator[str]:
    for name, unit, sums in (("CPU", "core", estimate.cpu), ("GPU", "GPU", estimate.gpu)):
        whole = total(sums.values())
        if not sums:
            yield f"{name} time   none" + (_no_gpu(estimate) if name == "GPU" else "")
            continue
        head = f"{name} time   "
        if whole.unknown:
            yield f"{head}{UNKNOWN}, for want of {_lacking(estimate)}: {', '.join(whole.unknown)}"
            head = "           the rest "
        if whole.known:
            parts = ", ".join(f"{rule} {_spent(one)}" for rule, one in sums.items() if one.known)
            yield f"{head}about {duration(whole.known)} of one {unit}{_at_most(whole)}: {parts} (estimates)"
        if name == "CPU" and whole.known and not whole.unknown:  # of a part it would say nothing of the whole
            yield _on_these_cores(whole)


def _no_gpu(estimate: Estimate) -> str:
    """Why there is none, and how to plan for a machine that has one."""
    if not any(job.rule in OF_METHODS and not estimate.is_plain(job) for job in estimate.to_do):
        return ""
    why = "`compute.device: cpu`" if estimate.plan.config.compute.device == "cpu" else "no GPU here"
    return f": {why}; for a machine with one: --set compute.device=cuda"


def _lacking(estimate: Estimate) -> str:
    known = all(found.train is not None and found.test is not None for found in estimate.slices.values())
    return "a measured rate" if known else "a measured rate or the number of slices"


def _on_these_cores(whole: Sum) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    line = f"           on the {cores} cores here {duration(whole.known / cores)} at best, if nothing else runs"
    return line + (" and trainings take their most" if whole.at_most else "")


def _spent(one: Sum) -> str:
    return duration(one.known) + _at_most(one)


def _at_most(one: Sum) -> str:
    return " at most" if one.at_most else ""


def _basis(estimate: Estimate) -> Iterator[str]:
    if estimate.basis:
        yield ""
        yield "rates come from:"
        yield from (f"  {machine} ({amount(count, 'job')})" for machine, count in estimate.basis.items())


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2,100 h``: as exact as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"


def as_values(estimate: Estimate) -> dict[str, Any]:
    """The same as JSON-able values: bytes, seconds, and what is unknown."""

    def values(one: Sum) -> dict[str, Any]:
        return {"known": one.known, "unknown": one.unknown, "at_most": one.at_most}

    return {
        "run": estimate.plan.config.run,
        "jobs": estimate.list.count(),
        "to_do": estimate.list.count(estimate.to_do),
        "left_out": estimate.plan.left_out,
        "environments": {name: wanted.is_built for name, wanted in estimate.plan.environments.items()},
        "slices": {name: vars(found) for name, found in estimate.slices.items()},
        "download_bytes": values(estimate.download),
        "disk_bytes": {kind: values(one) for kind, one in estimate.disk.items()},
        "cpu_seconds": {rule: values(one) for rule, one in estimate.cpu.items()},
        "gpu_seconds": {rule: values(one) for rule, one in estimate.gpu.items()},
        "rates_measured_on": estimate.basis,
    }
