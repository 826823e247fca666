"""Verbs about methods: pretrain, train, translate, gather, apply."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmodbench.cli.options import (
    Data,
    Device,
    Expect,
    Gpus,
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
from xmodbench.errors import UserError
from xmodbench.plugins import METHODS
from xmodbench.progress import Progress

if TYPE_CHECKING:
    from xmodbench.stages.wall.method_job import MethodJob

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

    applying = (
        "xmodbench apply model in.nii.gz out.nii.gz",
        "xmodbench apply model scans translated --samples 8",
        "xmodbench apply model t1=a.nii.gz t2=b.nii.gz out.nii.gz",
    )
    add(rich_help_panel=GROUP, epilog=example(*applying))(apply)


def _job(
    name: str,
    plugin: str | None,
    settings: dict[str, Any],
    seed: int,
    device: str,
    threads: int,
    tf32: bool,
    gpus: int = 0,
) -> MethodJob:
    """A method's job; nothing of the method is imported here, on this side of its wall."""
    from xmodbench.plugins.discovery import locate
    from xmodbench.stages.wall.method_job import MethodJob

    shared = max(1, threads // int(os.environ.get("WORLD_SIZE", 1)))  # a launcher's processes share them
    return MethodJob(name, locate(METHODS, plugin or name), settings, seed, device, shared, Progress(), tf32, gpus)


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
    gpus: Gpus = 0,
    expect: Expect = "{}",
) -> None:
    """Do the first phase of a training in two, such as a GAN's before its encoder's."""
    from xmodbench.stages import train as stage

    job = _job(name, plugin, parsed(settings), seed, device, threads, tf32, gpus)
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
    gpus: Gpus = 0,
    expect: Expect = "{}",
) -> None:
    """Train a method towards one target modality."""
    from xmodbench.stages import train as stage

    job = _job(name, plugin, parsed(settings), seed, device, threads, tf32, gpus)
    stage.train(job, data, target, source, out, state, pretrained, parsed(expect, "--expect"))


def translate(
    name: Method,
    data: Data,
    source: Annotated[str, typer.Option(help="Modality to translate from; several as t1+t2.")],
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
    gpus: Gpus = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices at once; changes no result.")] = 64,
    part: Annotated[str, typer.Option(help="K/N: only the K-th of N parts of the slices; see gather.")] = "1/1",
    expect: Expect = "{}",
) -> None:
    """Translate the slices of one modality with a trained model."""
    from xmodbench.stages.parts import Part
    from xmodbench.stages.translate import translate as stage

    job = _job(name, plugin, parsed(settings), seed, device, threads, tf32, gpus)
    stage(job, model, data, source, target, out, batch_size, Part.parse(part), parsed(expect, "--expect"))


def gather(
    parts: Annotated[list[Path], typer.Argument(help="Folders written by translate --part, all of them.")],
    data: Data,
    out: Out,
) -> None:
    """Put the parts of a translation together."""
    from xmodbench.stages.gather import gather as stage

    stage(parts, data, out)


def apply(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="A volume, a folder of a DICOM series, or one of many; of several sources one each: t1=A t2=B.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .nii.gz file; a folder for many, or for DICOM.")],
    source: Annotated[str | None, typer.Option(help="Modality of the volumes, where it can be more than one.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Images drawn per slice: mean, and standard deviation.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Go on where a volume is not like those trained on.")] = False,
    method: Annotated[str | None, typer.Option(help="Another method that translates with this model.")] = None,
    settings: Annotated[str, typer.Option(help="The plugin's settings as JSON, over those of the training.")] = "{}",
    orientation: Annotated[
        str | None, typer.Option(help="Where the axes of a file run that does not say so, such as LPS.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX", help="Which DICOM series, by its description; of several sources t1=REGEX for each."
        ),
    ] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write DICOM series for DICOM.")] = False,
    seed: Seed = 1,
    device: Device = "auto",
    threads: Threads = 4,
    tf32: Tf32 = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices at once; changes no result.")] = 64,
) -> None:
    """Translate volumes with a trained model and put them back onto their own voxels."""
    from xmodbench.stages import apply as stage
    from xmodbench.stages.apply_items import named
    from xmodbench.stages.apply_model import Wish, read_model

    read = read_model(model)
    job = _job(*read.method(method, parsed(settings)), seed, device, threads, tf32)
    volumes = {name: Path(word) for name, word in named(given).items()}
    if source is not None:
        if "" not in volumes:
            raise UserError("is said before the volumes already", "--source", "leave it out")
        volumes = {source: volumes[""]}
    wish = Wish(samples, batch_size, force, orientation, named(series or (), "--series"), dicom)
    failed = stage.apply(job, read, volumes, out, wish)
    for path, problem in failed:
        typer.echo(f"FAILED {path.name}: {problem}", err=True)
    if failed:
        where = ", ".join(map(str, volumes.values()))
        raise UserError(f"{len(failed)} of its volumes failed", where, "the others are done; see the lines above")
