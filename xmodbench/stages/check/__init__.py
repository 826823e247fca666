"""check: whether a plugin keeps its contract, tried behind the wall that jobs run behind, with limits of time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xmodbench.plugins.discovery import Location
from xmodbench.stages.check.findings import Finding, room
from xmodbench.stages.wall.walled import Limits, Start

LIMITS = Limits()


def check(
    location: Location,
    limits: Limits = LIMITS,
    *,
    raw: Path | None = None,
    settings: dict[str, Any] | None = None,
    start: Start | None = None,
) -> Iterator[Finding]:
    """Put a plugin through the checks of its kind; a finding for each requirement, each cause told once.

    Args:
        raw: of a data set: raw volumes to try it on, where it makes none itself.
        settings: what it is tried with; what its YAML says under ``smoke`` if left out.
        start: starts its processes; a fork server of its own if left out.
    """
    with room(limits, start) as where:
        if location.kind.name == "method":
            from xmodbench.stages.check.methods import check_method

            yield from check_method(location, where, settings)
        elif location.kind.name == "dataset":
            from xmodbench.stages.check.datasets import check_dataset

            yield from check_dataset(location, where, settings, raw)
        else:
            from xmodbench.stages.check.metrics import check_metric

            yield from check_metric(location, where, settings)


def problems(location: Location, limits: Limits = LIMITS, **options: Any) -> list[str]:
    """What is wrong with a plugin, a line each: for tests that say ``== []``. Takes what `check` does."""
    return [finding.problem for finding in check(location, limits, **options) if finding.problem is not None]
