"""doctor: what is there, what is missing, and what to type."""

from __future__ import annotations

from xmodbench.plan.plan import Plan
from xmodbench.stages.doctor.environments import of_environments
from xmodbench.stages.doctor.fact import Fact
from xmodbench.stages.doctor.machine import of_machine
from xmodbench.stages.doctor.run import of_run
from xmodbench.stages.doctor.software import of_software


def doctor(plan: Plan | None) -> list[Fact]:
    """All facts, those of the software first; what only a certain run needs is asked for that of `plan`.

    Nothing heavy is imported and nothing is written: versions come from the packages' metadata.
    """
    return [*of_software(plan), *of_environments(plan), *of_machine(plan), *of_run(plan)]
