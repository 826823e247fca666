"""Verbs about data sets: acquire, fetch, prepare, inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xmodbench.cli.options import Dataset, Out, PluginId, Raw, Seed, Settings, Threads, example, parsed
from xmodbench.files import sha256_json
from xmodbench.plugins import DATASETS, Plugin, find
from xmodbench.progress import Progress

GROUP = "Data: from volumes to slices"
RawOrDefault = Annotated[Path | None, typer.Option(help="Folder of the raw volumes; raw/NAME if left out.")]
DataOrDefault = Annotated[Path | None, typer.Option(help="Where the record goes; data/NAME if left out.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    add = app.command
    add(rich_help_panel=GROUP, epilog=example("xmodbench acquire ixi --dry-run", "xmodbench acquire sim_ixi"))(acquire)
    add(rich_help_panel=GROUP, epilog=example("xmodbench fetch ixi IXI-T1.tar"))(fetch)
    add(rich_help_panel=GROUP, epilog=example("xmodbench prepare sim_ixi --raw raw/sim_ixi --out data/sim_ixi"))(
        prepare
    )
    add(rich_help_panel=GROUP, epilog=example("xmodbench inspect sim_ixi --data data/heads64/sim_ixi"))(inspect)


def _dataset(name: str, plugin: str | None, settings: str) -> tuple[Any, Plugin, dict[str, Any]]:
    """A data set with checked settings, its plugin, and the facts about it that belong in a record."""
    from xmodbench.plugins.settings import validated

    found = find(DATASETS, plugin or name)
    checked = validated(found.cls.Config, parsed(settings), "--settings")
    facts = {
        "name": name,
        "plugin": found.id,
        "code_sha256": found.code_hash,
        "settings": json.loads(checked.model_dump_json()),
        "settings_sha256": sha256_json(checked.model_dump_json()),
    }
    return found.cls(checked), found, facts


def acquire(
    name: Dataset,
    raw: RawOrDefault = None,
    out: DataOrDefault = None,
    settings: Settings = "{}",
    plugin: PluginId = None,
    seed: Seed = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched, and its licence.")
    ] = False,
    seen: Annotated[str | None, typer.Option(hidden=True, help="What the plan saw of the raw folder.")] = None,
) -> None:
    """Make a data set's raw volumes be there (download, simulate), or say how to get them."""
    from xmodbench.stages import acquire as stage

    dataset, found, facts = _dataset(name, plugin, settings)
    raw, out = raw or Path("raw") / name, out or Path("data") / name
    if dry_run:
        for line in stage.announce(dataset, found.meta, raw):
            typer.echo(line)
        return
    stage.acquire(dataset, raw, out, seed, Progress(), seen, **facts)


def fetch(
    name: Dataset,
    archive: Annotated[str, typer.Argument(help="Its name, as `acquire NAME --dry-run` lists it.")],
    raw: RawOrDefault = None,
    out: DataOrDefault = None,
    settings: Settings = "{}",
    plugin: PluginId = None,
) -> None:
    """Fetch one archive of a data set beforehand; acquire alone does so too, one after the other, and unpacks them."""
    from xmodbench.stages import fetch as stage

    dataset, _, facts = _dataset(name, plugin, settings)
    stage.fetch(dataset, archive, raw or Path("raw") / name, out or Path("data") / name, Progress(), **facts)


def prepare(
    name: Dataset,
    raw: Raw,
    out: Out,
    settings: Settings = "{}",
    plugin: PluginId = None,
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Turn raw volumes into the slice stores OUT/train and OUT/test."""
    from xmodbench.stages import prepare as stage

    dataset, _, facts = _dataset(name, plugin, settings)
    stage.prepare(dataset, raw, out, seed=seed, threads=threads, progress=Progress(), **facts)


def inspect(
    name: Dataset,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the stores train and test; data/NAME if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the page goes; results/inspect/NAME if left out.")] = None,
) -> None:
    """Show every subject of a prepared data set: slices, edges laid over each other, registration."""
    from xmodbench.report.inspection.page import inspect_dataset

    page = inspect_dataset(data or Path("data") / name, out or Path("results/inspect") / name, Progress())
    typer.echo(page)
