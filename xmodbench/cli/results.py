"""Verbs about results: score, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmodbench.cli.options import Data, Expect, Out, Seed, example, parsed
from xmodbench.progress import Progress

GROUP = "Results: from translations to numbers"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    scoring = "xmodbench score --translation t1 --data data/sim_ixi/test --train-data data/sim_ixi/train"
    app.command(rich_help_panel=GROUP, epilog=example(f"{scoring} --source pd --target t1 --out t1.csv"))(score)
    examples = ("xmodbench report --config config/demo.yaml", "xmodbench report --config config/demo.yaml --partial")
    app.command(rich_help_panel=GROUP, epilog=example(*examples))(report)


def score(
    translation: Annotated[Path, typer.Option(help="Folder of the translations.")],
    data: Data,
    train_data: Annotated[Path, typer.Option(help="The training store, for the distances between real slices.")],
    source: Annotated[str, typer.Option(help="Modality translated from.")],
    target: Annotated[str, typer.Option(help="Modality translated to.")],
    out: Out,
    settings: Annotated[str, typer.Option(help="The config's `scoring` part as JSON.")] = "{}",
    seed: Seed = 1,
    expect: Expect = "{}",
) -> None:
    """Score translations: per image into a CSV, per direction into a JSON beside it."""
    from xmodbench.plan.config import Scoring
    from xmodbench.plugins.settings import validated
    from xmodbench.stages import score as stage

    scoring = validated(Scoring, parsed(settings), "--settings")
    stage.score(
        translation, data, train_data, source, target, out, scoring, seed=seed, expect=parsed(expect, "--expect")
    )


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
