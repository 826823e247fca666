"""Options that several verbs share, how a plugin is made from them, and what the shell completes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, METHODS, Kind, available


def beginning_with(kind: Kind) -> Callable[[str], list[str]]:
    """What the shell offers for a plugin's id."""
    return lambda incomplete: [name for name in available(kind) if name.startswith(incomplete)]


def configs(incomplete: str) -> list[str]:
    """What the shell offers for a config: those that are shipped, and YAML files here."""
    from xmodbench.plan.config import shipped_configs

    names = [*shipped_configs(), *(str(path) for path in Path().glob("*.yaml"))]
    return [name for name in names if name.startswith(incomplete)]


Dataset = Annotated[str, typer.Argument(metavar="NAME", help="The data set.", autocompletion=beginning_with(DATASETS))]
Method = Annotated[str, typer.Argument(metavar="NAME", help="The method.", autocompletion=beginning_with(METHODS))]
Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A config file, or the name of a shipped one.", autocompletion=configs)
]
Settings = Annotated[str, typer.Option(help="The plugin's settings as JSON.")]
PluginId = Annotated[str | None, typer.Option("--plugin", help="Plugin id, where it differs from NAME.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Let a GPU round what it multiplies to TF32: faster, less precise.")]
Gpus = Annotated[int, typer.Option(min=0, hidden=True, help="GPUs that the workflow asked for this job.")]
Out = Annotated[Path, typer.Option(help="Where the result goes.")]
Raw = Annotated[Path, typer.Option(help="Folder of the raw volumes.")]
Target = Annotated[str, typer.Option(help="Modality to translate to.")]
NeededSource = Annotated[
    str | None, typer.Option(help="Modality to translate from, where the method needs it; several as t1+t2.")
]
State = Annotated[Path, typer.Option(help="Folder for the state a killed job resumes from.")]
Data = Annotated[Path, typer.Option(help="A slice store: <data>/<dataset>/train or /test.")]


Expect = Annotated[str, typer.Option(hidden=True, help="What the plan says of the jobs before this one, as JSON.")]


def parsed(text: str, option: str = "--settings") -> dict[str, Any]:
    """An option's value as a dict; UserError where it is not a JSON object."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not valid JSON ({error})", option) from None
    if not isinstance(values, dict):
        raise UserError("not a JSON object", option, 'write {"option": value}')
    return values


def example(*lines: str) -> str:
    """An epilog of examples, a line each."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]{line}[/]" for line in lines)])
