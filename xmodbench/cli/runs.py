"""Verbs about whole runs: run, where; and generate, for this repository."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xmodbench.cli.options import Config, example
from xmodbench.errors import UserError

GROUP = "Runs: whole benchmarks"
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. datasets.heads.raw=/my/volumes"),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    lax = {"allow_extra_args": True, "ignore_unknown_options": True}
    examples = (
        "xmodbench run smoke",
        "xmodbench run my.yaml --set seed=2 --cores 8",
        "xmodbench run paper --dry-run",
        'xmodbench run paper --workflow-profile "$(xmodbench where profiles)/slurm"',
    )
    app.command(rich_help_panel=GROUP, epilog=example(*examples), context_settings=lax)(run)
    snakemake = 'snakemake -s "$(xmodbench where)/Snakefile" --cores all --directory elsewhere'
    app.command(rich_help_panel=GROUP, epilog=example(snakemake, 'ls "$(xmodbench where config)"'))(where)
    app.command(hidden=True)(generate)


def run(
    context: typer.Context,
    config: Config,
    set_: Set = None,
    cores: Annotated[str, typer.Option(help="CPU cores, or `all`.")] = "all",
    verbose: Annotated[bool, typer.Option("-v", help="Show all that Snakemake says.")] = False,
) -> None:
    """Run a config with Snakemake; further options go to Snakemake. Continues a run that was killed."""
    from xmodbench.plan.config import find_config, load_config
    from xmodbench.plan.snakemake import run_snakemake

    overrides, path = parse_overrides(set_ or []), find_config(config)
    load_config(path, overrides)  # a bad config is reported before Snakemake starts
    raise typer.Exit(run_snakemake(path, overrides, cores, context.args, verbose))


PLACES = ("config", "profiles", "methods", "data_prep", "workflow", "docs")


def where(
    place: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(PLACES)}; the folder of them all, and of the Snakefile, if left out.",
            autocompletion=lambda: list(PLACES),
        ),
    ] = None,
) -> None:
    """Print where what this package ships lies: the Snakefile, configs, profiles, methods, data sets, documentation."""
    from xmodbench.errors import did_you_mean
    from xmodbench.files import SHIPPED

    if place is not None and place not in PLACES:
        raise UserError("no such place", place, did_you_mean(place, PLACES) or f"one of {', '.join(PLACES)}")
    typer.echo(SHIPPED / (place or ""))


def generate(
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether they are up to date.")] = False,
) -> None:
    """Write the files made from the code: config schema and option tables, conda environments."""
    from xmodbench.generate import generate as write

    for path in write(check_only):
        typer.echo(f"wrote {path}")


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``["a.b=1"]`` to ``{"a": {"b": 1}}``; values are YAML.

    Raises:
        UserError: an item is no ``KEY=VALUE``, or its value is nothing that a config can hold.
    """
    import json

    from xmodbench.plan.config import merge
    from xmodbench.yaml_text import parse_yaml

    overrides: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(f"'{item}' is not KEY=VALUE", "--set")
        nested: Any = parse_yaml(value, f"--set {key}", "quote it")
        try:
            json.dumps(nested, allow_nan=False)
        except (TypeError, ValueError) as error:  # a date, a set, infinity, a list in itself
            raise UserError(f"no text, number, list or mapping ({error})", f"--set {key}", "put it in quotes") from None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        overrides = merge(overrides, nested)
    return overrides
