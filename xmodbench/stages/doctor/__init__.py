"""doctor: what is there, what is missing, and what to type."""

from __future__ import annotations

from xmodbench.plan.plan import Plan
from xmodbench.stages.doctor.fact import Fact
from xmodbench.stages.doctor.machine import machine
from xmodbench.stages.doctor.run import data_and_files
from xmodbench.stages.doctor.software import software


def doctor(plan: Plan | None) -> list[Fact]:
    """All facts, those of the software first; what only a certain run needs is asked for that of `plan`.

    Nothing heavy is imported and nothing is written: versions come from the packages' metadata.
    """
    return [*software(plan), *machine(plan), *data_and_files(plan)]
