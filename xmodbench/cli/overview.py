"""Verbs that look and change nothing: how far a run is, what a run will take, what is there for it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmodbench.cli.options import Config, configs, example
from xmodbench.cli.runs import GROUP, Set, parse_overrides
from xmodbench.commands import command
from xmodbench.errors import UserError, did_you_mean, printable

if TYPE_CHECKING:
    from xmodbench.plan.plan import Plan
    from xmodbench.stages.doctor.fact import Fact

EVERY_S = 2.0
"""Seconds between two looks of ``--watch``."""
CLEAR = "\x1b[H\x1b[2J"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    examples = ("xmodbench status", "xmodbench status demo --watch", "xmodbench status my.yaml --json")
    app.command(rich_help_panel=GROUP, epilog=example(*examples))(status)
    planning = example("xmodbench plan demo", "xmodbench plan my.yaml --set compute.device=cuda --json")
    app.command("plan", rich_help_panel=GROUP, epilog=planning)(plan_)
    app.command(rich_help_panel=GROUP, epilog=example("xmodbench doctor", "xmodbench doctor paper"))(doctor)


def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN or CONFIG",
            help="A run's name or folder, or its config; the last run of this folder if left out.",
            autocompletion=configs,
        ),
    ] = None,
    set_: Set = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until the run ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how far a run is: jobs that are done, run (with the time left), wait, failed or were killed.

    Reads files alone, so it works while the run goes on, and from another machine that sees the folder.
    """
    from xmodbench.plan.snakemake import runner
    from xmodbench.plan.status import status as look
    from xmodbench.plan.status import told

    plan = _plan_of_run(run, set_)
    if as_json:
        found = {"run": plan.config.run, "runner": runner(), "jobs": [one.as_json() for one in look(plan)]}
        typer.echo(json.dumps(found, indent=2))
    elif watch:
        _watch(plan)
    else:
        typer.echo(told(plan, look(plan), runner()))


def _watch(plan: Plan) -> None:
    """Show the status anew until nothing runs any more: in place on a terminal, else where it changes."""
    from xmodbench.plan.snakemake import runner
    from xmodbench.plan.status import status as look
    from xmodbench.plan.status import told

    before = ""
    while True:
        found, who = look(plan), runner()
        text = told(plan, found, who)
        if sys.stdout.isatty():
            typer.echo(CLEAR + text)
        elif text != before:
            typer.echo(text + "\n")
        before = text
        if who is None and not any(one.state == "running" for one in found):
            return
        time.sleep(EVERY_S)


def plan_(config: Config, set_: Set = None, as_json: AsJson = False) -> None:
    """Say what a run will take: jobs by kind, download, disk, hours by measured rates. Runs nothing.

    As on this machine; for another one with a GPU: --set compute.device=cuda.
    """
    from xmodbench.plan.estimate import Estimate
    from xmodbench.plan.estimate_text import as_values, told

    estimate = Estimate(_plan(config, set_))
    typer.echo(json.dumps(as_values(estimate), indent=2) if as_json else told(estimate))


def doctor(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="A config whose needs are asked for, too.", autocompletion=configs),
    ] = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Say what is there, what is missing and what to type; exit code 1 where something that CONFIG needs is missing."""
    from xmodbench.stages.doctor import doctor as stage

    facts = stage(_plan(config, set_) if config is not None else None)
    missing = [fact for fact in facts if fact.state == "missing"]
    if as_json:
        typer.echo(json.dumps([asdict(fact) for fact in facts], indent=2))
    else:
        _show(facts)
        typer.echo(f"\n{len(missing)} missing" if missing else "\nnothing is missing")
    if missing:
        raise typer.Exit(1)


def _show(facts: list[Fact]) -> None:
    group = ""
    for fact in facts:
        if fact.group != group:
            typer.echo(f"{'' if not group else chr(10)}{fact.group}")
            group = fact.group
        colour = {"ok": "green", "missing": "red"}.get(fact.state, "yellow")
        state = typer.style(f"{fact.state:8}", fg=colour)
        typer.echo(f"  {state} {fact.name:18} {printable(fact.fact)}")
        if fact.fix:
            typer.echo(f"{'':30}-> {printable(fact.fix)}")


def _plan_of_run(run: str | None, overrides: list[str] | None) -> Plan:
    """The plan of a run by its name or folder, of a config, or of the last run of this folder."""
    from xmodbench.plan.claim import CLAIM, claimed
    from xmodbench.plan.config import shipped_configs

    if run is None:
        runs = sorted(Path("results").glob(f"*/{CLAIM}"), key=lambda path: path.stat().st_mtime)
        if not runs:
            fix = f"name a config, or start one: {command('run', 'CONFIG')}"
            raise UserError("no run in this folder", "results", fix)
        return claimed(runs[-1].parent)
    for folder in (Path(run), Path("results") / run):
        if (folder / CLAIM).is_file() and not overrides:
            return claimed(folder)
    known = [*(path.parent.name for path in Path("results").glob(f"*/{CLAIM}")), *shipped_configs()]
    if run not in known and not Path(run).is_file():
        hint = did_you_mean(run, known) or f"there are {', '.join(dict.fromkeys(known))}"
        raise UserError("neither a run of this folder nor a config", run, hint)
    return _plan(run, overrides)


def _plan(config: str, overrides: list[str] | None) -> Plan:
    from xmodbench.plan.config import find_config, load_config
    from xmodbench.plan.plan import Plan

    path = find_config(config)
    return Plan(load_config(path, parse_overrides(overrides or [])), str(path))
