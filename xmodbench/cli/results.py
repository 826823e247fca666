"""Verbs about results: score, volumes, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xmodbench.cli.elsewhere import (
    DatasetOfRun,
    DirectionOption,
    FilesOption,
    IdOption,
    NameOption,
    PartialOption,
    Run,
    SupervisionOption,
    UnitsOption,
)
from xmodbench.cli.options import Data, Expect, Out, Seed, example, parsed
from xmodbench.errors import UserError
from xmodbench.progress import Progress

GROUP = "Results: from translations to numbers"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    scoring = "xmodbench score --translation t1 --data data/sim_ixi/test --train-data data/sim_ixi/train"
    foreign = "xmodbench score --predictions theirs --dataset sim_ixi --direction 'pd->t1' --name Theirs"
    examples = (f"{scoring} --source pd --target t1 --out t1.csv", f"{foreign} --config demo")
    app.command(rich_help_panel=GROUP, epilog=example(*examples))(score)
    places = "--translation results/demo/translations/sdedit/sim_ixi/pd-to-t1 --data data/heads64/sim_ixi/test"
    app.command(rich_help_panel=GROUP, epilog=example(f"xmodbench volumes {places} --out volumes --with-target"))(
        volumes
    )
    examples = ("xmodbench report --config config/demo.yaml", "xmodbench report --config config/demo.yaml --partial")
    app.command(rich_help_panel=GROUP, epilog=example(*examples))(report)
    merging = "xmodbench merge results/demo /media/theirs/demo --out merged"
    app.command(rich_help_panel=GROUP, epilog=example(merging))(merge)


def score(
    translation: Annotated[Path | None, typer.Option(help="Folder of the translations.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The test store: <data>/<dataset>/test; with --predictions, in place of --dataset's."),
    ] = None,
    train_data: Annotated[
        Path | None, typer.Option(help="The training store, for the distances between real slices.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Modality translated from.")] = None,
    target: Annotated[str | None, typer.Option(help="Modality translated to.")] = None,
    out: Annotated[Path | None, typer.Option(help="The CSV; the run's own place with --predictions.")] = None,
    settings: Annotated[str, typer.Option(help="The config's `scoring` part as JSON.")] = "{}",
    seed: Seed = 1,
    expect: Expect = "{}",
    predictions: Annotated[
        Path | None, typer.Option(help="Instead of --translation: a folder of images that were made elsewhere.")
    ] = None,
    config: Run = None,
    dataset: DatasetOfRun = None,
    direction: DirectionOption = None,
    name: NameOption = None,
    id_: IdOption = None,
    supervision: SupervisionOption = "undeclared",
    units: UnitsOption = "unit",
    files: FilesOption = None,
    partial: PartialOption = False,
) -> None:
    """Score translations: per image into a CSV, per direction into a JSON beside it.

    With --predictions: images that were made elsewhere, which then stand in the report of a run.
    """
    from xmodbench.cli import elsewhere
    from xmodbench.plan.config import Scoring
    from xmodbench.plugins.settings import validated

    if predictions is not None:
        pair = elsewhere.pair_of(direction, source, target)
        entry = elsewhere.entry_of(predictions, dataset, pair, name, id_, supervision, units, files, partial)
        elsewhere.score_predictions(entry, config, data, train_data, out)
        return
    wanted: dict[str, object] = {"translation": translation, "data": data, "train-data": train_data}
    wanted |= {"source": source, "target": target, "out": out}
    if lacking := [f"--{option}" for option, value in wanted.items() if value is None]:
        fix = "give it, or --predictions for images that were made elsewhere"
        raise UserError(f"needs {', '.join(lacking)}", "score", fix)
    assert translation and data and train_data and source and target and out
    from xmodbench.stages import score as stage

    scoring = validated(Scoring, parsed(settings), "--settings")
    stage.score(
        translation, data, train_data, source, target, out, scoring, seed=seed, expect=parsed(expect, "--expect")
    )


def volumes(
    translation: Annotated[Path, typer.Option(help="Folder of the translations.")],
    data: Data,
    out: Out,
    grid: Annotated[
        Literal["prepared", "source", "target"],
        typer.Option(help="Voxels: those that slices were cut out of, or those of the source's or the target's file."),
    ] = "prepared",
    with_source: Annotated[bool, typer.Option("--with-source", help="Write the source beside it.")] = False,
    with_target: Annotated[bool, typer.Option("--with-target", help="Write the target beside it.")] = False,
) -> None:
    """Put translated slices back into volumes (NIfTI), one per subject, in HU or in the scan's own units."""
    from xmodbench.stages.volumes import write_volumes

    also = tuple(name for name, wanted in (("source", with_source), ("target", with_target)) if wanted)
    write_volumes(translation, data, out, grid, also, Progress())


def report(
    config: Annotated[str, typer.Option(help="A config: a file, a shipped one's name, or the whole of it as JSON.")],
    out: Annotated[Path | None, typer.Option(help="Folder; the run's results folder if left out.")] = None,
    partial: Annotated[bool, typer.Option(help="Show what is there and what is missing.")] = False,
) -> None:
    """Compile table, figure and HTML report of a run."""
    from xmodbench.report import build_report

    plan = _plan(config)
    folder = out or (plan.results / "partial" if partial else plan.results)
    build_report(plan, folder, partial)
    Progress().say(f"report: {folder / 'report.html'}")


def merge(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Results folders of runs, such as results/demo.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for table, figure and report.")],
    prefer: Annotated[
        Path | None, typer.Option(help="The run whose numbers are taken where two have different ones for one cell.")
    ] = None,
) -> None:
    """Put runs of several machines or people into one report, where protocol, test slices and split agree."""
    from xmodbench.report.merge import merge_runs

    progress = Progress()
    for line in merge_runs(runs, out, prefer):
        progress.say(f"left out: {line}")
    progress.say(f"report: {out / 'report.html'}")


def _plan(config: str):
    from xmodbench.plan.claim import check_claim
    from xmodbench.plan.config import find_config, load_config, parse_config
    from xmodbench.plan.plan import Plan

    if config.lstrip().startswith("{"):
        return Plan(parse_config(parsed(config, "--config"), "--config"), "--config")
    path = find_config(config)
    plan = Plan(load_config(path), str(path))
    check_claim(plan, [path])
    return plan
