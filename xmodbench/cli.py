"""The command line: one verb per arrow of the benchmark, each usable without the workflow."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from xmodbench import __version__
from xmodbench.config import load_config, merge, validated
from xmodbench.errors import UserError
from xmodbench.files import sha256_json
from xmodbench.plugins import DATASETS, METHODS, Control, Kind, Plugin, Run, available, find
from xmodbench.progress import Progress

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Benchmark of zero-shot cross-modality medical image translation.",
)

Settings = Annotated[str, typer.Option(help="The plugin's settings as JSON.")]
Name = Annotated[str | None, typer.Option("--plugin", help="Plugin id, where it differs from NAME.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Out = Annotated[Path, typer.Option(help="Where the result goes.")]
Raw = Annotated[Path, typer.Option(help="Folder of the raw volumes.")]
Target = Annotated[str, typer.Option(help="Modality to translate to.")]
NeededSource = Annotated[str | None, typer.Option(help="Modality to translate from, where the method needs it.")]
State = Annotated[Path, typer.Option(help="Folder for the state a killed job resumes from.")]
Data = Annotated[Path, typer.Option(help="A slice store: <data>/<dataset>/train or /test.")]


def _plugin(kind: Kind, name: str, plugin: str | None, settings: str) -> tuple[Any, dict[str, Any]]:
    """A plugin's object with checked settings, and the facts about it that belong in a record."""
    found: Plugin = find(kind, plugin or name)
    try:
        values = json.loads(settings)
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", "--settings") from None
    checked = validated(found.cls.Config, values, "--settings")
    facts = {
        "name": name,
        "plugin": found.id,
        "code_sha256": found.code_hash,
        "settings": json.loads(checked.model_dump_json()),
        "settings_sha256": sha256_json(checked.model_dump_json()),
    }
    return found.cls(checked), facts


def _run(method, seed: int, device: str, threads: int, state: Path, progress: Progress) -> Run:
    from xmodbench.devices import resolve_device

    threads = max(1, threads // int(os.environ.get("WORLD_SIZE", 1)))  # a launcher's processes share them
    # controls without a model are plain NumPy: no need to wait for torch
    plain = isinstance(method, Control) and not method.model_plugin
    device = "cpu" if plain else resolve_device(device, threads, progress)
    return Run(seed=seed, device=device, state_dir=state, progress=progress, threads=threads)


@app.command()
def acquire(
    name: str,
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw volumes; raw/NAME if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the record goes; data/NAME if left out.")] = None,
    settings: Settings = "{}",
    plugin: Name = None,
    seed: Seed = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched, and its licence.")
    ] = False,
) -> None:
    """Make a data set's raw volumes be there (download, simulate), or say how to get them."""
    from xmodbench.stages import acquire as stage

    dataset, facts = _plugin(DATASETS, name, plugin, settings)
    raw, out = raw or Path("raw") / name, out or Path("data") / name
    if dry_run:
        for line in stage.announce(dataset, find(DATASETS, plugin or name).meta, raw):
            typer.echo(line)
        return
    stage.acquire(dataset, raw, out, seed, Progress(), **facts)


@app.command()
def fetch(
    name: str,
    archive: Annotated[str, typer.Argument(help="Its name, as `acquire NAME --dry-run` lists it.")],
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw volumes; raw/NAME if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the record goes; data/NAME if left out.")] = None,
    settings: Settings = "{}",
    plugin: Name = None,
) -> None:
    """Fetch one archive of a data set beforehand; acquire alone does so too, one after the other, and unpacks them."""
    from xmodbench.stages import fetch as stage

    dataset, facts = _plugin(DATASETS, name, plugin, settings)
    stage.fetch(dataset, archive, raw or Path("raw") / name, out or Path("data") / name, Progress(), **facts)


@app.command()
def prepare(
    name: str,
    raw: Raw,
    out: Out,
    settings: Settings = "{}",
    plugin: Name = None,
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Turn raw volumes into the slice stores <out>/train and <out>/test."""
    from xmodbench.stages import prepare as stage

    dataset, facts = _plugin(DATASETS, name, plugin, settings)
    stage.prepare(dataset, raw, out, seed=seed, threads=threads, progress=Progress(), **facts)


@app.command("inspect")
def inspect_(
    name: str,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the stores train and test; data/NAME if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the page goes; results/inspect/NAME if left out.")] = None,
) -> None:
    """Show every subject of a prepared data set: slices, edges laid over each other, registration."""
    from xmodbench.inspection.page import inspect_dataset

    page = inspect_dataset(data or Path("data") / name, out or Path("results/inspect") / name, Progress())
    typer.echo(page)


@app.command()
def pretrain(
    name: str,
    data: Data,
    target: Target,
    out: Out,
    state: State,
    source: NeededSource = None,
    settings: Settings = "{}",
    plugin: Name = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
) -> None:
    """Do the first phase of a training in two, such as a GAN's before its encoder's."""
    from xmodbench.stages import train as stage

    method, facts = _plugin(METHODS, name, plugin, settings)
    run = _run(method, seed, device, threads, state, Progress())
    stage.pretrain(method, data, target, source, out, run, **facts)


@app.command()
def train(
    name: str,
    data: Data,
    target: Target,
    out: Out,
    state: State,
    source: NeededSource = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Folder written by pretrain; without it both phases are done.")
    ] = None,
    settings: Settings = "{}",
    plugin: Name = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
) -> None:
    """Train a method towards one target modality."""
    from xmodbench.stages import train as stage

    method, facts = _plugin(METHODS, name, plugin, settings)
    if method.model_plugin:
        fix = f"train '{method.model_plugin}' and give its folder to `xmodbench translate --model`"
        raise UserError("trains nothing itself", f"method '{name}'", fix)
    run = _run(method, seed, device, threads, state, Progress())
    stage.train(method, data, target, source, out, run, pretrained, **facts)


@app.command()
def translate(
    name: str,
    model: Annotated[Path, typer.Option(help="Folder of the trained model.")],
    data: Data,
    source: Annotated[str, typer.Option(help="Modality to translate from.")],
    target: Target,
    out: Out,
    settings: Settings = "{}",
    plugin: Name = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices at once; changes no result.")] = 32,
    part: Annotated[str, typer.Option(help="K/N: only the K-th of N parts of the slices; see gather.")] = "1/1",
) -> None:
    """Translate the slices of one modality with a trained model."""
    from xmodbench.stages import translate as stage

    method, facts = _plugin(METHODS, name, plugin, settings)
    run = _run(method, seed, device, threads, out, Progress())
    share = stage.Part.parse(part)
    stage.translate(method, model, data, source, target, out, run, batch_size, share, **facts)


@app.command()
def gather(
    parts: Annotated[list[Path], typer.Argument(help="Folders written by translate --part, all of them.")],
    data: Data,
    out: Out,
) -> None:
    """Put the parts of a translation together."""
    from xmodbench.stages.gather import gather as stage

    stage(parts, data, out)


@app.command()
def score(
    translation: Annotated[Path, typer.Option(help="Folder of the translations.")],
    data: Data,
    train_data: Annotated[Path, typer.Option(help="The training store, for the floor of distribution distances.")],
    source: Annotated[str, typer.Option(help="Modality translated from.")],
    target: Annotated[str, typer.Option(help="Modality translated to.")],
    out: Out,
    settings: Annotated[str, typer.Option(help="The config's `scoring` part as JSON.")] = "{}",
    seed: Seed = 1,
) -> None:
    """Score translations: per image into a CSV, per direction into a JSON beside it."""
    from xmodbench.config import Scoring
    from xmodbench.stages import score as stage

    scoring = validated(Scoring, json.loads(settings), "--settings")
    stage.score(translation, data, train_data, source, target, out, scoring, seed=seed)


@app.command()
def report(
    config: Annotated[str, typer.Option(help="A config file, or the whole config as JSON.")],
    out: Annotated[Path | None, typer.Option(help="Folder; the run's results folder if left out.")] = None,
    partial: Annotated[bool, typer.Option(help="Show what is there and what is missing.")] = False,
) -> None:
    """Compile table, figure and HTML report of a run."""
    from xmodbench.report import build_report

    plan = _plan(config)
    folder = out or (plan.results / "partial" if partial else plan.results)
    build_report(plan, folder, partial)
    Progress().say(f"report: {folder / 'report.html'}")


@app.command()
def check(config: Path) -> None:
    """Check a config and say what it would run; plans nothing and needs no data."""
    plan = _plan(str(config))
    models = len({plan.model_dir(cell) for cell in plan.cells})
    typer.echo(f"{config}: {len(plan.cells)} cells, {models} trainings, run '{plan.config.run}'")


@app.command()
def plugins() -> None:
    """List the methods and data sets that are found."""
    for kind in (METHODS, DATASETS):
        for plugin_id in available(kind):
            found = find(kind, plugin_id)
            typer.echo(f"{kind.name:8} {plugin_id:22} {found.meta['summary']}")


@app.command()
def validate(method: str) -> None:
    """Check that a method plugin keeps the contract, on a few small slices."""
    from xmodbench.contract import validate_method

    problems = 0
    for requirement, problem in validate_method(find(METHODS, method)):
        problems += problem is not None
        typer.echo(f"{'FAILED' if problem else 'ok':6} {requirement}" + (f"\n       {problem}" if problem else ""))
    if problems:
        raise UserError(f"{problems} checks failed", f"method '{method}'", "see docs/add-a-method.md")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    config: Path,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. datasets.heads.raw=/my/volumes"),
    ] = None,
    cores: Annotated[str, typer.Option(help="CPU cores, or `all`.")] = "all",
) -> None:
    """Run a config with Snakemake; further options go to Snakemake. Continues a run that was killed."""
    from xmodbench.runner import run_snakemake

    overrides = parse_overrides(set_ or [])
    load_config(config, overrides)  # a bad config is reported before Snakemake starts
    raise typer.Exit(run_snakemake(config, overrides, cores, context.args))


@app.command()
def generate(
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether they are up to date.")] = False,
):
    """Write the files made from the code: config schema and option tables, conda environments."""
    from xmodbench.generate import generate as write

    for path in write(check_only):
        typer.echo(f"wrote {path}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _plan(config: str):
    from xmodbench.config import parse_config
    from xmodbench.plan import Plan

    if config.lstrip().startswith("{"):
        return Plan(parse_config(json.loads(config), "--config"), "--config")
    return Plan(load_config(config), config)


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``["a.b=1"]`` to ``{"a": {"b": 1}}``; values are YAML."""
    import yaml

    overrides: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(f"'{item}' is not KEY=VALUE", "--set")
        nested: Any = yaml.safe_load(value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        overrides = merge(overrides, nested)
    return overrides


def main() -> None:
    """Entry point: a UserError is one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"xmodbench: error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
