"""Verbs about translations made elsewhere: export-inputs, import-predictions; and score --predictions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from xmodbench.cli.options import Data, Expect, Out, Target, example, parsed
from xmodbench.commands import command
from xmodbench.errors import UserError, amount
from xmodbench.progress import Progress

GROUP = "Elsewhere: what others translate"

Run = Annotated[
    str | None, typer.Option("--config", help="The run whose table they enter: a config file, or a shipped one's name.")
]
DatasetOfRun = Annotated[str | None, typer.Option(metavar="ID", help="The data set whose test slices were translated.")]
DirectionOption = Annotated[str | None, typer.Option(metavar="A->B", help="Source and target, such as 'pd->t1'.")]
NameOption = Annotated[str | None, typer.Option(help="The method's name in tables and figures.")]
IdOption = Annotated[str | None, typer.Option("--id", help="Its id in file names; made of the name if left out.")]
SupervisionOption = Annotated[
    str,
    typer.Option(
        help="What it saw of this data set in training, as you declare it: zero-shot, few-shot, unpaired, paired, other."
    ),
]
UnitsOption = Annotated[str, typer.Option(help="unit: values are in [0, 1]; hu: Hounsfield units.")]
FilesOption = Annotated[
    str | None, typer.Option(help="How files are named, such as '{id}_fake_B.png' or '{subject}/ct.nii.gz'.")
]
PartialOption = Annotated[bool, typer.Option("--partial", help="Score what is there where test slices are missing.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    examples = (
        "xmodbench export-inputs inputs --config demo --dataset sim_ixi --direction 'pd->t1' --format nifti",
        "xmodbench export-inputs inputs --store data/sim_ixi --direction 'pd->t1' --training zero-shot",
    )
    app.command(rich_help_panel=GROUP, epilog=example(*examples))(export_inputs)
    taking = "xmodbench import-predictions theirs --data data/sim_ixi/test --source pd --target t1 --out theirs-t1"
    app.command(rich_help_panel=GROUP, epilog=example(taking))(import_predictions)


def export_inputs(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for them.")],
    direction: DirectionOption = None,
    dataset: DatasetOfRun = None,
    config: Run = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of the stores train and test, or the test store, in place of --dataset's."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="nifti (a volume per subject), png (16 bits) or npy.")
    ] = "png",
    training: Annotated[
        str | None, typer.Option(help="With what a zero-shot, few-shot or paired method may see in training.")
    ] = None,
    source_slices: Annotated[int | None, typer.Option(help="Source slices that a few-shot method may see.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of their draw.")] = 1,
) -> None:
    """Give others the source slices of a direction, without the targets they are scored with."""
    from xmodbench.plugins import Supervision
    from xmodbench.stages.predictions import giving

    kind, of = one_of(format_, ("nifti", "png", "npy"), "--format"), None
    if training is not None:
        of = Supervision(one_of(training, ("zero-shot", "few-shot", "paired"), "--training"))
    test, train = stores_of(config, dataset, store)
    source, target = pair_of(direction, None, None)
    giving.export_inputs(
        test, source, target, out, kind, train_dir=train, training=of, source_slices=source_slices, seed=seed
    )
    Progress().say(f"inputs: {out / 'README.txt'} says what there is and what may come back")


def import_predictions(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images that were made elsewhere.")],
    data: Data,
    source: Annotated[str, typer.Option(help="Modality translated from.")],
    target: Target,
    out: Out,
    dataset: DatasetOfRun = None,
    name: NameOption = None,
    id_: IdOption = None,
    supervision: SupervisionOption = "undeclared",
    units: UnitsOption = "unit",
    files: FilesOption = None,
    partial: PartialOption = False,
    expect: Expect = "{}",
) -> None:
    """Check images that were made elsewhere and write them as `translate` writes its own."""
    from xmodbench.stages.predictions import taking

    entry = entry_of(
        folder, dataset or "elsewhere", (source, target), name or folder.name, id_, supervision, units, files, partial
    )
    taking.import_predictions(entry, data, out, Progress(), expect=parsed(expect, "--expect"))


def score_predictions(entry: Any, config: str | None, data: Path | None, train: Path | None, out: Path | None) -> None:
    """Import predictions and score them: into a run, or, with ``out``, into a file of their own."""
    from xmodbench.plan.config import Scoring
    from xmodbench.stages import score as stage
    from xmodbench.stages.predictions.taking import import_predictions as take_in

    progress, (source, target) = Progress(), entry.pair
    if out is not None:
        test, train_dir = stores_of(config, entry.dataset, data)
        made = out.with_name(f"{out.stem}.translations")
        take_in(entry, test, made, progress)
        stage.score(made, test, train or train_dir, source, target, out, Scoring())
        _say_scores(out, progress)
        return
    plan, cell = _run_with(entry, config)
    folder, expect = plan.data_dir(cell.dataset), {"prepared": plan.prepared(cell.dataset)}
    take_in(entry, folder / "test", plan.translation_dir(cell), progress, expect=expect, by_hand=True)
    scores, expect = plan.scores_file(cell), expect | {"translated": plan.translated(cell)}
    stage.score(
        plan.translation_dir(cell),
        folder / "test",
        folder / "train",
        source,
        target,
        scores,
        plan.config.scoring,
        seed=plan.config.seed,
        expect=expect,
    )
    _say_scores(scores, progress)
    progress.say(f"in the table and the report with: {command('report', '--config', plan.where)}")


def _say_scores(path: Path, progress: Progress) -> None:
    import pandas as pd

    scores = pd.read_csv(path)
    means = {name: scores[f"standard.{name}"].mean() for name in ("ssim_tar", "psnr", "mse")}
    said = f"SSIM {means['ssim_tar']:.3f}, PSNR {means['psnr']:.2f} dB, MSE {means['mse']:.4f} (standard definitions)"
    subjects = scores["subject"].nunique()
    progress.say(f"{path}: {said}, {amount(len(scores), 'slice')} of {amount(subjects, 'subject')}")


def _run_with(entry: Any, config: str | None):
    """The plan of a run, with these predictions among its own, and their cell."""
    from xmodbench.plan.claim import check_claim
    from xmodbench.plan.config import find_config, load_config
    from xmodbench.plan.plan import Cell, Plan

    path = find_config(config) if config is not None else _only_run(entry)
    found = load_config(path)
    others = [other for other in found.predictions if other.id != entry.id or other.pair != entry.pair]
    _check_declared(entry, Plan(found, str(path)))
    plan = Plan(found.model_copy(update={"predictions": [*others, entry]}), str(path))
    check_claim(plan, [path])
    return plan, Cell(entry.id, entry.dataset, *entry.pair)


def _check_declared(entry: Any, run: Any) -> None:
    """Raise UserError where others of this id, scored by hand before, were said to be something else."""
    from xmodbench.report.by_hand import entries_by_hand

    for other in entries_by_hand(run):
        same = (other.dataset, other.pair) == (entry.dataset, entry.pair)
        if other.id == entry.id and not same and (other.label, other.supervision) != (entry.label, entry.supervision):
            problem = f"'{entry.id}' was scored before as '{other.label}', {other.supervision}"
            fix = f"say the same, give another --id, or delete {run.results / 'translations' / entry.id}"
            raise UserError(problem, "score --predictions", fix)


def _only_run(entry: Any) -> Path:
    """The config of the one run here that has this data set and direction.

    Raises:
        UserError: there is none, or more than one.
    """
    from xmodbench.files import read_json
    from xmodbench.plan.claim import CLAIM
    from xmodbench.plan.config import load_config
    from xmodbench.plan.plan import Plan

    found = []
    for claim in sorted(Path("results").glob(f"*/{CLAIM}")):
        try:
            path = Path(read_json(claim)["made_by"])
            run = Plan(load_config(path), str(path))
            # not where another run of this config, by --set, has its results
            if run.results.resolve() == claim.parent.resolve() and entry.pair in run.directions.get(entry.dataset, ()):
                found.append(path)
        except (UserError, KeyError, TypeError):
            continue  # of another program, or its config has gone
    if len(found) != 1:
        have = ", ".join(map(str, found)) or "none"
        problem = f"which run? Those here that have '{entry.dataset}' in this direction: {have}"
        raise UserError(
            problem, "score --predictions", "name its --config, or score apart from any with --out FILE.csv"
        )
    return found[0]


def stores_of(config: str | None, dataset: str | None, store: Path | None) -> tuple[Path, Path]:
    """The test and the training store of a data set.

    Raises:
        UserError: neither a data set nor a store is given.
    """
    if store is not None:
        within = (store / "test" / "manifest.json").is_file()
        return (store / "test", store / "train") if within else (store, store.parent / "train")
    if dataset is None:
        raise UserError("of which data set?", "--dataset", "give its id, or its folder with --store")
    folder = Path("data") / dataset
    if config is not None:
        from xmodbench.errors import did_you_mean
        from xmodbench.plan.config import find_config, load_config

        found = load_config(find_config(config))
        if dataset not in found.datasets:
            hint = did_you_mean(dataset, found.datasets) or f"it has {', '.join(found.datasets)}"
            raise UserError(f"no data set '{dataset}' in {config}", "--dataset", hint)
        folder = Path(found.paths.data) / dataset
    return folder / "test", folder / "train"


def pair_of(direction: str | None, source: str | None, target: str | None) -> tuple[str, str]:
    """Source and target, of a direction such as ``pd->t1`` or given one by one.

    Raises:
        UserError: they are not given.
    """
    if direction is not None:
        parts = [part.strip() for part in direction.split("->")]
        if len(parts) == 2 and all(parts):
            return parts[0], parts[1]
        raise UserError(f"'{direction}' is no direction", "--direction", "write it in quotes: 'pd->t1'")
    if source is None or target is None:
        raise UserError("which direction?", "--direction", "give source and target in quotes: 'pd->t1'")
    return source, target


def entry_of(
    folder: Path,
    dataset: str | None,
    pair: tuple[str, str],
    name: str | None,
    id_: str | None,
    supervision: str,
    units: str,
    files: str | None,
    partial: bool,
):
    """The entry that a config would have for predictions.

    Raises:
        UserError: a value is missing or none that the config would take.
    """
    from xmodbench.plan.config import PredictionsEntry
    from xmodbench.plugins.settings import validated

    if dataset is None or (name or id_) is None:
        lacking = "--dataset" if dataset is None else "--name"
        raise UserError(f"needs {lacking}", "score --predictions", "give the data set's id and the method's name")
    made = re.sub(r"[^a-z0-9_]+", "-", (name or "").lower()).strip("-_0123456789")[:41].strip("-")
    values = {"id": id_ or made or "elsewhere", "name": name, "folder": str(folder), "dataset": dataset}
    values |= {"direction": "->".join(pair), "supervision": supervision, "units": units, "files": files}
    return validated(PredictionsEntry, values | {"partial": partial}, "options")


def one_of(value: str, known: tuple[str, ...], option: str) -> Any:
    """The value; UserError where it is none of those known."""
    if value not in known:
        raise UserError(f"'{value}' is none", option, f"one of {', '.join(known)}")
    return value
