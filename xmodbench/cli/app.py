"""The verbs in groups: runs, data, methods, models, results, plugins."""

from __future__ import annotations

from typing import Annotated

import typer

from xmodbench import __version__
from xmodbench.cli import data, elsewhere, methods, models, overview, plugins, results, runs

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try it: [bold]xmodbench run smoke[/] runs every method, tiny, and writes results/smoke/report.html",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Benchmark of zero-shot cross-modality medical image translation."""


for group in (runs, overview, data, methods, models, results, elsewhere, plugins):
    group.add_to(app)
