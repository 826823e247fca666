"""One config, one results folder: two configs that call their run alike would overwrite each other's results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_text
from xmodbench.plan.config import BenchmarkConfig, load_config, parse_config
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
    """Note whose results the folder holds, and the whole config, so that the folder tells it wherever it is taken."""
    if configs:
        whole = plan.config.model_dump(mode="json")
        found = {"made_by": os.path.relpath(configs[0]), "config": whole}
        # not sorted, as JSON is elsewhere: methods stand in the order of the table
        write_text(plan.results / CLAIM, json.dumps(found, indent=2) + "\n")


def claimed_config(results: Path) -> BenchmarkConfig:
    """The config of the run whose results a folder holds, as it was when the run was started.

    Raises:
        UserError: nothing was run there, or what was cannot be told.
    """
    path = results / CLAIM
    if not path.is_file():
        fix = "give the folder of a run's results, such as results/demo"
        raise UserError(f"no run's results ({CLAIM} is missing)", results, fix)
    found = read_json(path)
    facts = found if isinstance(found, dict) else {"made_by": found}
    if isinstance(facts.get("config"), dict):
        return parse_config(facts["config"], str(path))
    made_by = Path(str(facts.get("made_by", "")))  # of an older version
    if not made_by.is_file():
        raise UserError(f"its config, {made_by}, is not here", path, "run its report once more where it was made")
    return load_config(made_by)


def claimed(results: Path) -> Plan:
    """The plan of the run whose results a folder holds, as it was when the run was started.

    Raises:
        UserError: nothing was run there, or methods or data sets of the run are no longer there.
    """
    return Plan(claimed_config(results), str(results / CLAIM))
