"""Verbs about methods: pretrain, train, translate, gather."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xmodbench.cli.options import (
    Data,
    Device,
    Expect,
    Method,
    NeededSource,
    Out,
    PluginId,
    Seed,
    Settings,
    State,
    Target,
    Tf32,
    Threads,
    example,
    parsed,
)
from xmodbench.plugins import METHODS
from xmodbench.progress import Progress

GROUP = "Methods: from slices to translations"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    add = app.command
    add(rich_help_panel=GROUP)(pretrain)
    training = "xmodbench train midiffusion --data data/sim_ixi/train --target t1 --out model --state work/t1"
    add(rich_help_panel=GROUP, epilog=example(f'{training} --settings \'{{"preset": "short"}}\''))(train)
    translating = (
        "xmodbench translate midiffusion --model model --data data/sim_ixi/test --source pd --target t1 --out t1"
    )
    add(rich_help_panel=GROUP, epilog=example(translating))(translate)
    add(rich_help_panel=GROUP, epilog=example("xmodbench gather 1-of-2 2-of-2 --data data/sim_ixi/test --out t1"))(
        gather
    )


def _job(name: str, plugin: str | None, settings: str, seed: int, device: str, threads: int, tf32: bool):
    """A method's job; nothing of the method is imported here, on this side of its wall."""
    from xmodbench.plugins.discovery import locate
    from xmodbench.stages.wall.method_job import MethodJob

    shared = max(1, threads // int(os.environ.get("WORLD_SIZE", 1)))  # a launcher's processes share them
    return MethodJob(name, locate(METHODS, plugin or name), parsed(settings), seed, device, shared, Progress(), tf32)


def pretrain(
    name: Method,
    data: Data,
    target: Target,
    out: Out,
    state: State,
    source: NeededSource = None,
    settings: Settings = "{}",
    plugin: PluginId = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
    tf32: Tf32 = False,
    expect: Expect = "{}",
) -> None:
    """Do the first phase of a training in two, such as a GAN's before its encoder's."""
    from xmodbench.stages import train as stage

    job = _job(name, plugin, settings, seed, device, threads, tf32)
    stage.pretrain(job, data, target, source, out, state, parsed(expect, "--expect"))


def train(
    name: Method,
    data: Data,
    target: Target,
    out: Out,
    state: State,
    source: NeededSource = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Folder written by pretrain; without it both phases are done.")
    ] = None,
    settings: Settings = "{}",
    plugin: PluginId = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
    tf32: Tf32 = False,
    expect: Expect = "{}",
) -> None:
    """Train a method towards one target modality."""
    from xmodbench.stages import train as stage

    job = _job(name, plugin, settings, seed, device, threads, tf32)
    stage.train(job, data, target, source, out, state, pretrained, parsed(expect, "--expect"))


def translate(
    name: Method,
    data: Data,
    source: Annotated[str, typer.Option(help="Modality to translate from.")],
    target: Target,
    out: Out,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the trained model; only controls that learn nothing do without.")
    ] = None,
    settings: Settings = "{}",
    plugin: PluginId = None,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
    tf32: Tf32 = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices at once; changes no result.")] = 32,
    part: Annotated[str, typer.Option(help="K/N: only the K-th of N parts of the slices; see gather.")] = "1/1",
    expect: Expect = "{}",
) -> None:
    """Translate the slices of one modality with a trained model."""
    from xmodbench.stages import translate as stage

    job = _job(name, plugin, settings, seed, device, threads, tf32)
    stage.translate(
        job, model, data, source, target, out, batch_size, stage.Part.parse(part), parsed(expect, "--expect")
    )


def gather(
    parts: Annotated[list[Path], typer.Argument(help="Folders written by translate --part, all of them.")],
    data: Data,
    out: Out,
) -> None:
    """Put the parts of a translation together."""
    from xmodbench.stages.gather import gather as stage

    stage(parts, data, out)
