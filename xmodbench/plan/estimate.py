"""What a run will take: jobs, download, disk, hours. Hours come from measured rates; what was never measured is unknown."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xmodbench.data.download.archived import FromArchives
from xmodbench.devices import visible_gpus
from xmodbench.plan.job_list import Job, JobList
from xmodbench.plan.methods import Training
from xmodbench.plan.plan import Plan
from xmodbench.plan.rates import Rate, Rates
from xmodbench.plan.slices import Slices, slices
from xmodbench.plan.work import Work, counted, laid_over
from xmodbench.plugins import Method, Plugin, Supervision
from xmodbench.plugins.settings import validated

OF_METHODS = ("pretrain", "train", "translate", "translate_part")
"""Rules whose jobs run a method."""
OF_NO_METHOD = ("score", "gather", "report", "import_model", "import_predictions")
"""Rules whose jobs take about as long whatever the method."""
NOTHING_S = 0.6
"""Seconds of a job that only looks at what is there."""


@dataclass
class Sum:
    """Known values added up, what of it is unknown, and whether some of the values are the most that it can be."""

    known: float = 0
    unknown: list[str] = field(default_factory=list)
    at_most: bool = False

    def add(self, value: float | None, what: str, at_most: bool = False) -> None:
        """Add a value, or note that it is unknown."""
        if value is not None:
            self.known += value
            self.at_most |= at_most
        elif what not in self.unknown:
            self.unknown.append(what)


class Estimate:
    """An estimate of what is still to do of a plan.

    Attributes:
        slices: numbers by data set.
        cpu, gpu: seconds, of one core and of one GPU, by rule.
        basis: the rates that were used, by machine or records, and for how many jobs.
    """

    def __init__(self, plan: Plan):
        self.plan, self.list, self.rates = plan, JobList(plan), Rates(Path(plan.config.paths.results))
        self.slices: dict[str, Slices] = {name: slices(plan, name) for name in plan.config.datasets}
        self.cpu: dict[str, Sum] = defaultdict(Sum)
        self.gpu: dict[str, Sum] = defaultdict(Sum)
        self.basis: dict[str, int] = {}
        for job in self.to_do:
            sums = self.gpu if self._on_gpu(job) else self.cpu
            sums[job.rule].add(self.seconds(job), self.what(job), self.ends_sooner(job))

    @property
    def to_do(self) -> list[Job]:
        """The jobs that a run would do now."""
        return [job for record, job in self.list.jobs.items() if record in self.list.waited_for]

    # -- hours ------------------------------------------------------------------------------------------------------
    def _on_gpu(self, job: Job) -> bool:
        """Whether a job computes on a GPU, as far as is known here; controls and what is no method's job never do."""
        device = self.plan.config.compute.device
        if device == "cpu" or (device == "auto" and not visible_gpus()):
            return False
        return job.rule in OF_METHODS and not self.is_plain(job)

    def plugin(self, job: Job) -> Plugin[Method]:
        """That of a method's job."""
        if job.training is not None:
            return job.training.plugin
        assert job.cell is not None
        return self.plan.methods[job.cell.method].plugin

    def _training(self, job: Job) -> Training | None:
        """What is trained, or what a translation's models come from."""
        return self.plan.training(job.cell) if job.cell is not None else job.training

    def is_plain(self, job: Job) -> bool:
        """Whether it is a control's job, which needs no torch."""
        cls = self.plugin(job).cls
        return cls.supervision is Supervision.CONTROL and not cls.model_plugin

    def what(self, job: Job) -> str:
        """What has no rate, where a job has none."""
        if job.rule in OF_METHODS:
            return f"{job.rule.removesuffix('_part')} {self.plugin(job).id}"
        return f"{job.rule} {job.dataset or ''}".strip()

    def seconds(self, job: Job) -> float | None:
        """What it takes of one core or GPU; None where there is no rate."""
        if job.rule in OF_NO_METHOD:
            return self.rates.seconds(job.rule)
        if job.rule in ("fetch", "acquire", "prepare"):
            return self._of_dataset(job)
        if job.rule not in OF_METHODS:
            return None
        if self.is_plain(job):
            return self.rates.seconds("start:plain")
        done = self.work(job)
        rate = None if done is None else self._rate(job, done)
        if done is None or rate is None:
            return None
        self._note(rate)
        return self.start(job) + rate.of(done)

    def _note(self, rate: Rate) -> None:
        self.basis[rate.machine] = self.basis.get(rate.machine, 0) + 1

    def ends_sooner(self, job: Job) -> bool:
        """Whether `seconds` of a job are the most that it may take."""
        done = self.work(job) if job.rule in OF_METHODS and not self.is_plain(job) else None
        return done is not None and done.at_most

    def start(self, job: Job) -> float:
        """Seconds of a method's job before it does anything."""
        compiles = self.rates.seconds("start:compiles") if self.plugin(job).meta.get("compiles") else 0
        return self.rates.seconds("start:torch") + compiles

    def work(self, job: Job) -> Work | None:
        """What a method's job has to do; None where that takes the number of slices, which is not known yet."""
        found, training = self.slices[str(job.dataset)], self._training(job)
        model = None
        if training is not None:
            model = validated(training.plugin.cls.Config, json.loads(training.settings), "plan")
        if job.cell is None:
            return counted(model, job.rule, found.train, found.size, self._device(job))
        settings = laid_over(self.plan.methods[job.cell.method].settings[job.cell.dataset], model)
        tested = None if found.test is None else max(1, round(found.test / job.parts))
        return counted(settings, "translate", tested, found.size)

    def _device(self, job: Job) -> str:
        return "cuda" if self._on_gpu(job) else "cpu"

    def _rate(self, job: Job, done: Work) -> Rate | None:
        """That of the method, or of the one whose models it uses, which does the like."""
        verb, device = job.rule.removesuffix("_part"), self._device(job)
        training = self._training(job)
        plugins = [self.plugin(job).id, *([training.plugin.id] if training else [])]
        return next((rate for name in plugins if (rate := self.rates.find(name, verb, done, device))), None)

    def _of_dataset(self, job: Job) -> float | None:
        """Seconds of a data set's job; those of a download nobody knows."""
        name = str(job.dataset)
        dataset, plugin = self.plan.datasets[name], self.plan.dataset_plugins[name].id
        if job.rule == "fetch" or (job.rule == "acquire" and isinstance(dataset, FromArchives)):
            return None if self._downloads(name) else NOTHING_S
        if job.rule == "acquire" and not dataset.simulated:
            return NOTHING_S
        if job.rule == "acquire" and dataset.outdated(self.plan.raw_dir(name), self.plan.config.seed) is None:
            return NOTHING_S
        return self._of_volumes(name, plugin, job.rule)

    def _of_volumes(self, name: str, plugin: str, verb: str) -> float | None:
        """Seconds or bytes of volumes, by subjects and voxels."""
        subjects = self.slices[name].subjects
        if subjects is None:
            return None
        scale = getattr(self.plan.datasets[name].settings, "scale", 1.0)
        done = Work(subjects, "", 1, scale**-1.5)  # its square goes with the number of voxels
        rate = self.rates.find(plugin, verb, done)
        if rate and verb != "raw":
            self._note(rate)
        return rate.of(done) if rate else None

    # -- download and disk ------------------------------------------------------------------------------------------
    def _downloads(self, name: str) -> list[int | None]:
        """Sizes of the archives that would be fetched."""
        dataset = self.plan.datasets[name]
        lacking = dataset.lacking(self.plan.raw_dir(name)) if isinstance(dataset, FromArchives) else []
        return [file.size for file in lacking]

    @cached_property
    def download(self) -> Sum:
        """Bytes to fetch."""
        found = Sum()
        for name in self.plan.config.datasets:
            if self.list.jobs[self.plan.data_dir(name) / "acquire.record.json"] in self.to_do:
                for size in self._downloads(name):
                    found.add(size, name)
        return found

    @cached_property
    def disk(self) -> dict[str, Sum]:
        """Bytes of what is still to make: raw volumes, stores, models, translations."""
        found = {kind: Sum() for kind in ("raw volumes", "stores", "models", "translations")}
        for job in self.to_do:
            for kind, value in self._bytes(job):
                found[kind].add(value, self.what(job))
        return found

    def _bytes(self, job: Job) -> Iterator[tuple[str, float | None]]:
        if job.dataset is None:
            return
        name, found = job.dataset, self.slices[job.dataset]
        image = 4 * found.size**2
        if job.rule == "acquire":
            own = not self.plan.datasets[name].simulated and not self._downloads(name)
            plugin = self.plan.dataset_plugins[name].id
            yield "raw volumes", 0 if own else self._of_volumes(name, plugin, "raw")
        elif job.rule == "prepare":
            both = None if found.train is None or found.test is None else found.train + found.test
            modalities = len(self.plan.datasets[name].modalities())
            yield "stores", None if both is None else both * image * modalities
        elif job.rule == "train" and not self.is_plain(job):
            done = self.work(job)
            unit = done and Work(1, done.network, done.width)
            rate = unit and self.rates.find(self.plugin(job).id, "model", unit)
            yield "models", rate.of(unit) if rate and unit else None
        elif job.rule in ("translate", "gather", "import_predictions"):
            yield "translations", None if found.test is None else found.test * image


def total(sums: Iterable[Sum]) -> Sum:
    """All of them."""
    whole = Sum()
    for one in sums:
        whole.known, whole.at_most = whole.known + one.known, whole.at_most or one.at_most
        whole.unknown += [what for what in one.unknown if what not in whole.unknown]
    return whole
