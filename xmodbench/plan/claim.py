"""One config, one results folder: two configs that call their run alike would overwrite each other's results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.plan.config import load_config, parse_config
from xmodbench.plan.plan import Plan

CLAIM = "config.json"
"""File in a run's results folder: ``made_by``, the config whose results they are, relative to the working directory, and
``config``, all of it as the run had it, with what was set on the command line."""


def check_claim(plan: Plan, configs: Sequence[str | os.PathLike]) -> None:
    """Refuse a results folder that belongs to another config, which is still there.

    Args:
        configs: the run's config files, the one that is its own first; none where the config came otherwise.

    Raises:
        UserError: the folder belongs to another config.
    """
    claim = plan.results / CLAIM
    if not configs or not claim.is_file():
        return
    found = read_json(claim)
    owner = Path(str(found.get("made_by") if isinstance(found, dict) else found))
    if owner.is_file() and owner.resolve() != Path(configs[0]).resolve():
        problem = f"holds the results of {owner}, whose run is called '{plan.config.run}' as well"
        fix = f"give {os.path.relpath(configs[0])} another name under `run`, or delete the folder"
        raise UserError(problem, plan.results, fix)


def claim(plan: Plan, configs: Sequence[str | os.PathLike]) -> None:
    """Note whose results the folder holds."""
    if configs:
        whole = json.loads(plan.config.model_dump_json())
        write_json(plan.results / CLAIM, {"made_by": os.path.relpath(configs[0]), "config": whole})


def claimed(results: Path) -> Plan:
    """The plan of the run whose results a folder holds, as it was when the run was started.

    Raises:
        UserError: nothing was run there, or methods or data sets of the run are no longer there.
    """
    path = results / CLAIM
    found = read_json(path)
    facts = found if isinstance(found, dict) else {}
    if isinstance(facts.get("config"), dict):
        return Plan(parse_config(facts["config"], str(path)), str(path))
    made_by = Path(str(facts.get("made_by", "")))  # of an older version
    if not made_by.is_file():
        raise UserError("does not say what was run", path, "name the config instead of the run")
    return Plan(load_config(made_by), str(made_by))
