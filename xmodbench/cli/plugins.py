"""Verbs about plugins of one's own, and about whether they and configs are as they should be: plugins, new, check."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmodbench.cli.options import configs, example
from xmodbench.commands import command, documentation
from xmodbench.errors import UserError, amount, did_you_mean
from xmodbench.plugins import available, find
from xmodbench.plugins.discovery import KINDS

if TYPE_CHECKING:
    from xmodbench.stages.check.findings import Finding

GROUP = "Plugins: methods, data sets, metrics of one's own"
NAMES = {kind.name: kind for kind in KINDS}


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    add = app.command
    add(rich_help_panel=GROUP)(plugins)
    examples = ("xmodbench new method my_method", "xmodbench new dataset my_data", "xmodbench new metric my_metric")
    add(rich_help_panel=GROUP, epilog=example(*examples))(new)
    checking = (
        "xmodbench check my_method",
        "xmodbench check my_dataset --raw raw/my_dataset",
        "xmodbench check my.yaml",
    )
    add(rich_help_panel=GROUP, epilog=example(*checking))(check)


def plugins() -> None:
    """List the methods, data sets and metrics that are found."""
    from xmodbench.plugins.discovery import locate, stands_in_for

    broken = 0
    for kind in KINDS:
        for plugin_id in available(kind):
            try:
                location = locate(kind, plugin_id)
                text = " ".join(find(kind, plugin_id).meta["summary"].split())
            except UserError as error:
                broken += 1
                text = f"BROKEN: {error}"
            else:
                text += f" ({location.folder}, in place of the shipped one)" if stands_in_for(location) else ""
            typer.echo(f"{kind.name:8} {plugin_id:26} {text}")
    if broken:
        raise UserError(f"{broken} of them cannot be used", "plugins", "see the list")


USE = {"method": "methods: {%s: {}}", "dataset": "datasets: {%s: {}}", "metric": "scoring: {metrics: [%s]}"}
"""How a config names a plugin."""


def new(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="method, dataset or metric.", autocompletion=lambda: list(NAMES))
    ],
    plugin_id: Annotated[
        str, typer.Argument(metavar="ID", help="Its id: small letters, digits, hyphens, underscores.")
    ],
    folder: Annotated[
        Path, typer.Option(help="The project that it becomes part of; this folder if left out.")
    ] = Path(),
) -> None:
    """Write a working plugin to begin with: its code, README and a test that passes."""
    from xmodbench.plugins.scaffold import write_plugin

    if kind not in NAMES:
        raise UserError(f"no such kind '{kind:.40}'", "new", did_you_mean(kind, NAMES) or f"one of {', '.join(NAMES)}")
    files = write_plugin(NAMES[kind], plugin_id, folder)
    for path in files:
        typer.echo(f"wrote {path}")
    steps = [
        f"write your own into {NAMES[kind].folder}/{plugin_id}/{kind}.py",
        f"xmodbench check {plugin_id}",
        f"python -m pytest {NAMES[kind].folder}/{plugin_id}{'' if find_spec('pytest') else ' (after: pip install pytest)'}",
        f"name it in a config: {USE[kind] % plugin_id}",
    ]
    if kind == "method":
        steps[-1] += f", or see it in the demo's table: xmodbench run demo --set 'methods.{plugin_id}={{}}'"
    if folder.resolve() != Path.cwd():
        steps.insert(0, f"cd {folder}, where it is found")
    typer.echo("\nNext:")
    for number, step in enumerate(steps, start=1):
        typer.echo(f"  {number}. {step}")
    typer.echo(f"What it may do and has to: {documentation(f'add-a-{kind}.md')}")


def _names(incomplete: str) -> list[str]:
    """What the shell offers: plugins and configs."""
    ids = {name for kind in KINDS for name in available(kind) if name.startswith(incomplete)}
    return sorted(ids | set(configs(incomplete)))


KindName = Annotated[
    str | None, typer.Option("--kind", help="method, dataset, metric or config, where NAME is several.")
]


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin, or a config.", autocompletion=_names)],
    kind: KindName = None,
    raw: Annotated[Path | None, typer.Option(help="A data set: folder of raw volumes to try it on.")] = None,
    settings: Annotated[str | None, typer.Option(help="Its settings as JSON; `smoke` of its YAML if left out.")] = None,
    limit: Annotated[float, typer.Option(min=1, help="Seconds for each of its processes, not for all.")] = 60,
    memory: Annotated[int, typer.Option(min=256, help="MiB for each of its processes.")] = 8192,
) -> None:
    """Check that a plugin keeps its contract, on small data behind the wall; or that a config can be planned."""
    found = _of_kind(name, kind)
    if found == "config":
        _check_config(name)
        return
    from xmodbench.cli.options import parsed
    from xmodbench.plugins.discovery import locate
    from xmodbench.stages.check import check as stage
    from xmodbench.stages.wall.walled import Limits

    location = locate(NAMES[found], name)
    problems = 0
    given = None if settings is None else parsed(settings)
    for finding in stage(location, Limits(limit, memory), raw=raw, settings=given):
        typer.echo(f"{_word(finding):6} {finding.requirement}")
        for line in (*filter(None, [finding.problem]), *finding.warnings):
            typer.echo(f"       {line}")
        if finding.problem is not None:
            problems += 1
            typer.echo("".join(f"       | {line}\n" for line in finding.output.splitlines()[-15:]), nl=False, err=True)
    if problems:
        page = documentation(f"add-a-{found}.md")
        text = "1 check failed" if problems == 1 else f"{problems} checks failed"
        raise UserError(text, f"{found} '{name}'", f"see {page}")


def _word(finding: Finding) -> str:
    if not finding.asked:
        return "-"
    if finding.problem is not None:
        return "FAILED"
    return "warn" if finding.warnings else "ok"


def _of_kind(name: str, asked: str | None) -> str:
    """``method``, ``dataset``, ``metric`` or ``config``: what a name stands for.

    Raises:
        UserError: nothing, or several things and none was asked for.
    """
    from xmodbench.plan.config import shipped_configs

    words = [*NAMES, "config"]
    if asked is not None:
        if asked not in words:
            raise UserError(f"no such kind '{asked:.40}'", "--kind", f"one of {', '.join(words)}")
        return asked
    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        return "config"
    ids: dict[str, list[str]] = {**{kind.name: available(kind) for kind in KINDS}, "config": shipped_configs()}
    found = [word for word in words if name in ids[word]]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"is a {' and a '.join(found)}", name, f"say which with --kind {found[0]}")
    known = [other for names in ids.values() for other in names]
    raise UserError(
        "no plugin and no config of this name", name, did_you_mean(name, known) or f"see {command('plugins')}"
    )


def _check_config(name: str) -> None:
    """Say what a config would run; plans nothing and needs no data."""
    from xmodbench.plan.config import find_config, load_config
    from xmodbench.plan.elsewhere import check_folders
    from xmodbench.plan.plan import Plan

    path = find_config(name)
    plan = Plan(load_config(path), str(path))
    check_folders(plan.config.predictions, str(path))
    models = {plan.model_dir(cell): plan.training(cell) for cell in plan.runs}
    imported = sum(training is not None and bool(training.models) for training in models.values())
    trained = len([folder for folder in models if folder]) - imported
    imports = f", {amount(imported, 'imported model')}" if imported else ""
    typer.echo(
        f"{path}: {amount(len(plan.runs), 'cell')}, {amount(trained, 'training')}{imports}, run '{plan.config.run}'"
    )
