"""The jobs of a run, as the workflow's rules make them: known from the plan alone, without Snakemake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.download.fetched import FETCHED
from xmodbench.plan.job_log import job_name
from xmodbench.plan.methods import Training
from xmodbench.plan.plan import Cell, Plan
from xmodbench.records import FAILURE, RECORD

REPORT = (
    *("report.html", "report_files", "report.zip", "figure.png", "figure.svg", "figures"),
    *("table.csv", "table.json", "table.md", "table1.html", "table1.tex", "table1.md", "table1.csv"),
)


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        rule: that makes it; name: as people call it (`job_name`).
        record: the file that stands for the job's success; outputs: all that the rule declares.
        log: what it says; failure: what it leaves where it fails, which the report has none of.
        dataset: that it is of; cell: of a translation's job and its score's; training: of a training's job, or of its first
            phase's.
        parts: jobs among which the translation is divided.
        needs: the records of the jobs that have to be done before it.
    """

    rule: str
    name: str
    record: Path
    outputs: tuple[Path, ...]
    log: Path
    failure: Path | None
    needs: tuple[Path, ...] = ()
    dataset: str | None = None
    cell: Cell | None = None
    training: Training | None = None
    parts: int = 1

    @property
    def done(self) -> bool:
        """Whether all that it makes is there; Snakemake removes what it is about to make anew."""
        return all(path.exists() for path in self.outputs)


class JobList:
    """All jobs of a plan, each once, those before others first.

    Attributes:
        jobs: by record.
    """

    def __init__(self, plan: Plan):
        self.plan, self.logs = plan, plan.results / "logs"
        self.jobs: dict[Path, Job] = {}
        for job in self._listed():
            self.jobs.setdefault(job.record, job)

    def count(self, jobs: Iterable[Job] | None = None) -> dict[str, int]:
        """Number of jobs by rule, in the order in which the rules come."""
        return dict(Counter(job.rule for job in (self.jobs.values() if jobs is None else jobs)))

    @cached_property
    def waited_for(self) -> set[Path]:
        """Records of the jobs that a run would do now, as far as files tell; only Snakemake knows what a change asks for.

        A job is done where what it makes is lacking and something that is done needs it, or where what it needs is made
        anew. What was deleted on the way to results that are there is not missed.
        """
        wanted = {record for record, job in self.jobs.items() if job.rule == "report" and not job.done}
        while True:
            more = {need for record in wanted for need in self.jobs[record].needs if not self.jobs[need].done}
            more |= {record for record, job in self.jobs.items() if wanted.intersection(job.needs)}
            if more <= wanted:
                return wanted
            wanted |= more

    # -- one kind after the other -----------------------------------------------------------------------------------
    def _listed(self) -> Iterator[Job]:
        for dataset in self.plan.config.datasets:
            yield from self._of_dataset(dataset)
        for cell in self.plan.runs:
            yield from self._training(cell)
            yield from self._translation(cell)
            yield self._score(cell)
        results, scores = self.plan.results, tuple(self._scored(cell) for cell in self.plan.runs)
        outputs = tuple(results / name for name in REPORT)
        yield Job("report", "report", outputs[0], outputs, self.logs / "report.log", None, scores)

    def _of_dataset(self, dataset: str) -> Iterator[Job]:
        folder, found = self.plan.data_dir(dataset), self.plan.datasets[dataset]
        fetched = []
        for archive in found.archives() if isinstance(found, FromArchives) else []:
            record = folder / FETCHED / f"{archive.name}.record.json"
            fetched.append(record)
            log = self.logs / "fetch" / dataset / f"{archive.name}.log"
            yield self._job("fetch", record, log, {"dataset": dataset, "archive": archive.name})
        own = {"dataset": dataset}
        acquired = folder / "acquire.record.json"
        yield self._job("acquire", acquired, self.logs / "acquire" / f"{dataset}.log", own, tuple(fetched))
        stores = tuple(folder / split / "manifest.json" for split in ("train", "test"))
        log = self.logs / "prepare" / f"{dataset}.log"
        yield self._job("prepare", self._prepared(dataset), log, own, (acquired,), stores)

    def _training(self, cell: Cell) -> Iterator[Job]:
        training, folder = self.plan.training(cell), self.plan.model_dir(cell)
        if training is None or folder is None:
            return
        model = self.plan.model_name(cell)
        names = {"training": training.name, "dataset": cell.dataset, "model": model}
        if training.models:
            log = self.logs / "import" / f"{training.name}.{cell.dataset}.{model}.log"
            yield replace(self._job("import_model", folder / RECORD, log, names), training=training)
            return
        needs: tuple[Path, ...] = (self._prepared(cell.dataset),)
        first, where = (
            self.plan.pretrained_dir(training, cell.dataset, model),
            {"dataset": cell.dataset, "model": model},
        )
        if training.pretraining and first:
            names = {"pretraining": training.pretraining.name, **where}
            yield replace(self._of_method("pretrain", first, names, needs), training=training.pretraining)
            needs = (*needs, first / RECORD)
        yield replace(self._of_method("train", folder, names, needs), training=training)

    def _translation(self, cell: Cell) -> Iterator[Job]:
        folder, parts, model = self.plan.translation_dir(cell), self.plan.part_dirs(cell), self.plan.model_dir(cell)
        names = {"method": cell.replicate, "dataset": cell.dataset, "source": cell.source, "target": cell.target}
        data = self._prepared(cell.dataset)
        needs = (data, model / RECORD) if model else (data,)
        if self.plan.predictions(cell):
            yield replace(self._of_method("import_predictions", folder, names, needs), cell=cell)
            return
        if not parts:
            yield replace(self._of_method("translate", folder, names, needs), cell=cell)
            return
        for part in parts:
            number, _, count = part.name.partition("-of-")
            own = {**names, "part": number, "parts": count}
            yield replace(self._of_method("translate_part", part, own, needs), cell=cell, parts=len(parts))
        gathered = self._of_method("gather", folder, names, (*(part / RECORD for part in parts), data))
        yield replace(gathered, cell=cell)

    def _score(self, cell: Cell) -> Job:
        names = {"method": cell.replicate, "dataset": cell.dataset, "source": cell.source, "target": cell.target}
        scores = self.plan.scores_file(cell)
        needs = (self.plan.translation_dir(cell) / RECORD, self._prepared(cell.dataset))
        log = self.logs / "score" / f"{cell.name}.log"
        outputs = (scores, scores.with_suffix(".json"))
        return replace(self._job("score", self._scored(cell), log, names, needs, outputs), cell=cell)

    def _prepared(self, dataset: str) -> Path:
        return self.plan.data_dir(dataset) / RECORD

    def _scored(self, cell: Cell) -> Path:
        scores = self.plan.scores_file(cell)
        return scores.with_name(f"{cell.name}.record.json")

    def _of_method(self, rule: str, folder: Path, names: dict[str, str], needs: tuple[Path, ...]) -> Job:
        verb, *words = job_name(rule, names).split()
        return self._job(rule, folder / RECORD, self.logs / verb / f"{'.'.join(words)}.log", names, needs)

    def _job(
        self,
        rule: str,
        record: Path,
        log: Path,
        names: dict[str, str],
        needs: tuple[Path, ...] = (),
        others: tuple[Path, ...] = (),
    ) -> Job:
        failure = record.with_name(record.name.replace(RECORD, FAILURE))
        return Job(rule, job_name(rule, names), record, (*others, record), log, failure, needs, names["dataset"])
