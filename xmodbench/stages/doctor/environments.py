"""Environments of methods' own: which there are, whether they are built, and what builds them."""

from __future__ import annotations

from collections.abc import Iterator

from xmodbench.commands import command
from xmodbench.errors import UserError
from xmodbench.plan.plan import Plan
from xmodbench.plugins import METHODS, available
from xmodbench.plugins.discovery import locate
from xmodbench.plugins.environment import OwnEnvironment, environment_of
from xmodbench.stages.doctor.fact import Fact, lacking
from xmodbench.stages.wall.building import builder

GROUP = "environments of methods"


def of_environments(plan: Plan | None) -> Iterator[Fact]:
    """Facts about those of a run, or of all methods that are found; nothing where no method has one."""
    try:
        wanted = list(plan.environments.values()) if plan else list(_all())
    except UserError as error:
        yield Fact(GROUP, "environments", lacking(plan is not None), str(error))
        return
    for by_conda in sorted({one.by_conda for one in wanted if not one.is_built}):
        name, found = "conda" if by_conda else "uv", builder(by_conda)
        fix = "" if found else ("https://conda-forge.org/download" if by_conda else "pip install uv")
        yield Fact(GROUP, name, "ok" if found else lacking(plan is not None), found or "none", fix)
    for one in wanted:
        fix = "" if one.is_built else f"the first job builds it; beforehand: `{command('check', one.plugin)}`"
        told = str(one.folder) if one.is_built else f"to be built from {one.file}"
        yield Fact(GROUP, one.plugin, "ok" if one.is_built or plan else "optional", told, fix)


def _all() -> Iterator[OwnEnvironment]:
    for name in available(METHODS):
        try:
            found = environment_of(locate(METHODS, name))
        except UserError:  # `check` says what is wrong with a plugin
            continue
        if found is not None:
            yield found
