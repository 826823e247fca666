"""What a run has produced: every cell with its scores and records, or with the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from xmodbench.commands import remake
from xmodbench.data.download.fetched import ACQUIRED
from xmodbench.errors import UserError, plain
from xmodbench.files import read_json, sha256_file
from xmodbench.metrics.field.cards import FIELD
from xmodbench.metrics.own import metrics_of
from xmodbench.metrics.published import published
from xmodbench.metrics.registry import DISTANCES, METRICS, PROTOCOL, Metric
from xmodbench.plan.plan import Cell, Plan
from xmodbench.plugins.contract import checked_names
from xmodbench.records import FAILURE, RECORD, read_record
from xmodbench.report.looks import InHu, Looks
from xmodbench.report.stale import stale

SUMMARY = ("distances", "counts", "intermediates", "volumes", "tissues", "absent", "window")
Status = Literal["complete", "failed", "not run"]


@dataclass(frozen=True)
class CellResult:
    """A cell of the benchmark as it stands. Without complete scores, ``reason`` says why and there are no numbers."""

    cell: Cell
    status: Status
    reason: str | None = None
    scores: pd.DataFrame | None = None  # a row per test slice: id, subject, site and the per-image metrics
    distances: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    intermediates: dict[str, dict[str, float]] = field(default_factory=dict)  # errors of images on the way, by name
    volumes: dict[str, dict[str, float | None]] = field(default_factory=dict)  # by subject, scores of the whole volume
    tissues: dict[str, dict[str, Any]] = field(default_factory=dict)  # by subject, HU by tissue where there are HU
    window: tuple[float, float] | None = None  # what 0 and 1 of the target are in HU, where it is a CT in HU
    absent: dict[str, str] = field(default_factory=dict)  # by metric that was asked for, why there is none
    looks: Looks | None = None  # what is judged beside the scores
    records: dict[str, dict[str, Any]] = field(default_factory=dict)  # by verb
    published: dict[str, str] | None = None
    stale: bool = False  # what is there is of other data, models or settings than the plan's

    replicates: tuple[CellResult, ...] = ()  # where there are several seeds: what each of them made

    @property
    def every(self) -> tuple[CellResult, ...]:
        """By seed what was made, or why not."""
        return self.replicates or (self,)

    @property
    def runs(self) -> tuple[CellResult, ...]:
        """What has scores of it, by seed."""
        return tuple(run for run in self.every if run.complete)

    @property
    def complete(self) -> bool:
        """Whether there are scores to show."""
        return self.status == "complete"

    @property
    def whole(self) -> bool:
        """Whether all test slices have scores, so that those of several cells go side by side."""
        return self.complete and self.partial is None

    @property
    def partial(self) -> str | None:
        """What of the test slices is scored, where it is not all of them: such scores are shown and not ranked."""
        images, of = self.counts.get("images"), self.counts.get("of")
        return f"{images} of {of} slices" if self.complete and of is not None else None

    @property
    def image_scores(self) -> pd.DataFrame:
        """The scores of a cell that is complete."""
        assert self.scores is not None
        return self.scores

    def subject_means(self, metrics: Sequence[str]) -> pd.DataFrame:
        """A subject's mean of each metric, a row for each in the order of their names."""
        return self.image_scores.groupby("subject", sort=True)[list(metrics)].mean()


def collect(plan: Plan) -> list[CellResult]:
    """All cells of the plan, in its order; those of one data set and direction were scored on the same slices, unless they
    are partial."""
    firsts: dict[tuple[str, str], tuple[str, pd.DataFrame]] = {}
    found = []
    for cell in plan.cells:
        runs = [_of_the_same_slices(collect_cell(plan, each), firsts) for each in plan.replicates(cell)]
        found.append(runs[0] if len(runs) == 1 else together(plan, runs))
    return found


def _of_the_same_slices(item: CellResult, firsts: dict[tuple[str, str], tuple[str, pd.DataFrame]]) -> CellResult:
    """The cell, unless the first one of its direction was scored on other slices."""
    if item.scores is None or item.partial:
        return item
    slices = item.scores[["id", "subject"]]
    first = firsts.setdefault((item.cell.dataset, item.cell.direction), (item.cell.method, slices))
    if slices.equals(first[1]):
        return item
    problem = f"scored on other slices than '{first[0]}'; run again"
    return CellResult(item.cell, "failed", problem, records=item.records, published=item.published)


def together(plan: Plan, runs: list[CellResult]) -> CellResult:
    """The cell that replicates with several seeds make up: each image has the mean of its scores.

    Seeds without scores are left out, and said; where none has any, the cell is what the first of them is.
    """
    done, missing = [run for run in runs if run.complete], [run for run in runs if not run.complete]
    lost = "; ".join(f"seed {plan.seed_of(run.cell)} {run.status}" for run in missing)
    if not done:
        worst = next((run for run in runs if run.status == "failed"), runs[0])
        reason = worst.reason if worst.status == "not run" else f"seed {plan.seed_of(worst.cell)}: {worst.reason}"
        return replace(worst, cell=runs[0].cell, reason=reason, replicates=tuple(runs))
    scores = done[0].image_scores.copy()
    names = [
        name for name in scores.columns if all(name in run.image_scores and name in metrics_of(plan) for run in done)
    ]
    scores[names] = sum(run.image_scores[names] for run in done) / len(done)
    reason = f"{len(done)} of {len(runs)} seeds ({lost})" if missing else None
    return replace(done[0], cell=runs[0].cell, scores=scores, reason=reason, replicates=tuple(runs))


def collect_cell(plan: Plan, cell: Cell) -> CellResult:
    """One cell: complete only if no job on its way failed and its scores, distances and record agree."""
    records = _records(plan, cell)
    result = partial(CellResult, cell, published=_published(plan, cell), records=records)
    if failure := _failure(plan, cell) or _other_supervision(plan, cell, records):
        return result("failed", failure)
    if (reason := stale(plan, cell, records)) is not None:
        verb = reason.partition(":")[0]
        folder, record = _places(plan, cell)[verb]
        return result("failed", f"{reason}; {remake(folder / record, f'{verb} again')}", stale=True)
    if not plan.scores_file(cell).is_file():
        return result("not run", "not run")
    try:
        scores, summary = read_scores(plan.scores_file(cell), metrics_of(plan))
    except UserError as error:
        return result("failed", str(error))
    found = {name: summary[name] for name in SUMMARY if name in summary}
    return result("complete", scores=scores, looks=summary.get("looks"), **found)


def _published(plan: Plan, cell: Cell) -> dict[str, str] | None:
    """The paper's numbers; simulated data and ``short`` presets have none, whatever their plugins say."""
    if (
        plan.simulated(cell.dataset)
        or getattr(plan.methods[cell.method].settings.get(cell.dataset), "preset", None) == "short"
    ):
        return None
    method, dataset = plan.methods[cell.method].plugin, plan.dataset_plugins[cell.dataset]
    return published(method.meta.get("published"), dataset.meta.get("published"), cell.source, cell.target)


def read_scores(path: Path, metrics: Mapping[str, Metric] = METRICS) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Per-image scores and the summary beside them.

    Args:
        metrics: of the run, those of the registry first.

    Raises:
        UserError: a file is missing, damaged or not the one that its record speaks of.
    """
    record = read_record(path.parent, f"{path.stem}.record.json")
    if record.get("protocol") != PROTOCOL:
        raise UserError(f"scored by protocol {record.get('protocol')}, this is {PROTOCOL}", path, "score again")
    if record.get("scores_sha256") != sha256_file(path):
        raise UserError("not the scores of the record beside them", path, "score again")
    try:
        scores = pd.read_csv(path, dtype={"id": str, "subject": str, "site": str}, keep_default_na=False)
        # which of the field's numbers there are depends on the data
        paired = [m for m in metrics.values() if m.level == "image" and (m.family != FIELD or m.id in scores.columns)]
        values = scores[[metric.id for metric in paired]].to_numpy(float)
    except (ValueError, KeyError) as error:
        raise UserError(f"not a table of scores ({error})", path, "score again") from None
    if not len(values):
        raise UserError("holds no scores", path, "score again")
    for metric, column in zip(paired, values.T, strict=True):
        _within_bounds(metric, column.tolist(), path)
    return scores, _read_summary(path.with_suffix(".json"), metrics)


def _read_summary(path: Path, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    summary = read_json(path)
    try:
        for name in DISTANCES:
            found = summary["distances"][name]
            values = [found["value"], found.get("real_to_real"), *found.get("without", ())]
            _within_bounds(METRICS[name], [value for value in values if value is not None], path)
        shared = [int(summary["counts"][name]) for name in ("images", "subjects")]
        on_the_way = summary.get("intermediates", {})
        checked_names(list(on_the_way))
        errors = [float(found[f"mse_{to}"]) for found in on_the_way.values() for to in ("target", "source")]
        for found in summary.get("volumes", {}).values():
            for name in found.keys() & metrics.keys():
                _within_bounds(metrics[name], [value for value in [found[name]] if value is not None], path)
        for found in summary.get("tissues", {}).values():
            InHu.model_validate(found)
        if "looks" in summary:
            summary["looks"] = Looks.model_validate(summary["looks"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError("not the summary of scores", path, "score again") from None
    except UserError as error:
        raise UserError(str(error), path, "score again") from None
    if min(shared) < 1 or not all(0 <= error <= 1 for error in errors):
        raise UserError("holds counts or errors that cannot be", path, "score again")
    return summary


def _within_bounds(metric: Metric, values: list[object], path: Path) -> None:
    if problem := next(filter(None, map(metric.problem, values)), None):
        raise UserError(problem, path, "score again")


def _places(plan: Plan, cell: Cell) -> dict[str, tuple[Path, str]]:
    """Folder and record name of each of the cell's jobs, in the order they run."""
    scores, model = plan.scores_file(cell), plan.model_dir(cell)
    pretrained = plan.pretrained_dir(plan.training(cell), cell.dataset, plan.model_name(cell))
    return {
        "acquire": (plan.data_dir(cell.dataset), ACQUIRED),
        "prepare": (plan.data_dir(cell.dataset), RECORD),
        **({"pretrain": (pretrained, RECORD)} if pretrained else {}),
        **({"train": (model, RECORD)} if model else {}),
        "translate": (plan.translation_dir(cell), RECORD),
        "score": (scores.parent, f"{scores.stem}.{RECORD}"),
    }


def _failure(plan: Plan, cell: Cell) -> str | None:
    """The first job on the cell's way that failed, and its message."""
    places = [(verb, folder / name.replace(RECORD, FAILURE)) for verb, (folder, name) in _places(plan, cell).items()]
    places += [("translate", folder / FAILURE) for folder in plan.part_dirs(cell)]
    for verb, path in places:
        if not path.is_file():
            continue
        try:
            failure = read_json(path)
        except UserError as error:
            return f"{verb}: {error}"
        if not isinstance(failure, dict):
            return f"{verb}: failed"
        verb = "import-predictions" if verb == "translate" and plan.predictions(cell) else verb
        verb = "import" if failure.get("verb") == "import" else verb  # in the place of a training
        return plain(f"{verb}: {failure.get('error', 'failed')}")
    return None


def _other_supervision(plan: Plan, cell: Cell, records: dict[str, dict[str, Any]]) -> str | None:
    """What a job ran as that the plan does not say: a method might call itself a control only where it is handed data."""
    allowed = {str(plan.supervision(cell.method))}
    training = plan.training(cell)
    for verb in ("pretrain", "train", "translate"):
        trained_by = training.plugin.cls.supervision if training and verb != "translate" else None
        ran_as = records.get(verb, {}).get("supervision")
        if ran_as is not None and ran_as not in allowed | ({str(trained_by)} if trained_by else set()):
            return f"{verb}: ran as {ran_as}, but is {plan.supervision(cell.method)}"
    return None


def _records(plan: Plan, cell: Cell) -> dict[str, dict[str, Any]]:
    found = {}
    for verb, (folder, name) in _places(plan, cell).items():
        try:
            found[verb] = read_record(folder, name)
        except UserError:  # absent or damaged: shown as absent
            continue
    return found
