"""Whether a method keeps its contract, on a few small slices, with the settings under ``smoke`` in its ``method.yaml``.

It is trained and translates in processes like those of its jobs, behind the same wall; what they answer is compared here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.files import atomic_dir
from xmodbench.plugins import METHODS, Method
from xmodbench.plugins.check import N_TEST, N_TRAIN, phantom
from xmodbench.plugins.contract import checked_images, checked_names, draw, unpaired
from xmodbench.plugins.discovery import Location, locate
from xmodbench.plugins.environment import environment_of
from xmodbench.plugins.model_files import check_saved
from xmodbench.progress import Progress
from xmodbench.stages.check.findings import Check, Finding, Room, check_readme, findings
from xmodbench.stages.check.slices import BY_ITSELF, RESEEDED, SEED, SUBJECTS, WAYS, Handing, Way
from xmodbench.stages.wall.compiled import compiled
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.process import NONE, PluginProcess
from xmodbench.store import mapped

TASKS = "xmodbench.stages.check.method_tasks:ExaminedMethod"
COMPILING = 10  # times as long as an answer may take, once for each version of the code; for slow and for busy machines
RANDOM = "take all randomness from generators[i], one for each image, and keep nothing from one call to the next"
SEEDED = "take all randomness from run.seed"


def check_method(location: Location[Method], where: Room, settings: dict[str, Any] | None = None) -> Iterator[Finding]:
    """Put a method through all checks; each cause is told once."""
    yield from findings(_Checked(location, where, settings).checks(), where)


@dataclass
class _Checked:
    location: Location[Method]
    room: Room
    settings: dict[str, Any] | None
    method: Described = field(init=False)
    model: Path | None = None
    whole: np.ndarray = field(init=False)  # the translations that all others are compared with
    others: list[np.ndarray] = field(default_factory=list)  # of the same model in other ways
    elsewhere: bool = False  # whether it has an environment of its own
    steps: int = 0
    writes: int = 0
    kept: dict[str, Path | None] = field(default_factory=dict)  # by plugin

    def checks(self) -> list[Check]:
        """All of them, in order."""
        return [
            Check("README.md stands beside the code", self.has_readme, apart=True),
            Check("method.yaml says what it should, and the import is quick: no torch at the top", self.is_imported),
            Check("fit and save end, within their wall, and leave a model that holds no pickles", self.is_trained),
            Check("translate gives images like the source's, finite and in [0, 1]", self.translates),
            Check("batch size and order change nothing, and randomness comes from the generators", self.is_independent),
            Check("a training that is repeated, killed and continued, or cut into phases ends the same", self.repeats),
        ]

    def has_readme(self) -> None:
        """Others are told what it is."""
        check_readme(self.location, "say there what the method does")

    def is_imported(self) -> None:
        """The process says what the method is."""
        self.job = self._job(self.location)
        self.elsewhere = environment_of(self.location) is not None
        if self.elsewhere:  # plans are made without it
            with self._process("import", self.job, at_home=True):
                pass
        with self._process("import", self.job) as process:
            self.method = process.described
        if process.isolation == NONE:
            self.room.warn("this kernel has no Landlock: nobody watched what it reads and writes")

    def is_trained(self) -> None:
        """A training, or that of the plugin whose models it uses."""
        self.trainer, self.trained = self.job, self.method
        if lender := self.method.model_plugin:
            self.trainer = self._job(locate(METHODS, lender))
            with self._process("import", self.trainer) as process:
                self.trained = process.described
        if self.method.has_model:
            self.model, done = self._train("first")
            self.steps, self.writes = done["steps"], done["writes"]
            self.room.preload([] if self.elsewhere else done["heavy"])

    def translates(self) -> None:
        """All slices at once; in the same process once more, one by one, and in another order."""
        # a control is asked about a whole test set at once
        self.ways = WAYS[:2] if self.method.control else [*Handing(self.method.shape).ways, RESEEDED]
        self.whole, *self.others = self._translate(self.model, self.ways)
        images = self.whole.reshape(N_TEST, -1)
        if (np.ptp(images, axis=1) == 0).all():
            self.room.warn("translate: every image is constant; is that the model's answer?")
        elif (images == images[0]).all() and not self.method.control:
            self.room.warn("translate: every source gives the same image; does it look at the source?")

    def is_independent(self) -> None:
        """However the slices were put together, each image is the same."""
        for other, way in zip(self.others, self.ways[1:], strict=True):
            if way is RESEEDED:
                self._depends_on_seeds(other, lambda: self._translate(self.model, [BY_ITSELF])[0], "translate", RANDOM)
            elif other is not self.others[0]:
                what = "batch size" if way.size != N_TEST else "order"
                fix = "treat each image by itself: no statistics over the batch, no randomness but generators[i]"
                self._same(other, f"images change with the {what}", fix)
            else:
                self._same(other, "the same slices translated twice differ", RANDOM)

    def repeats(self) -> None:
        """Another training that is ended in the middle and goes on; where that differs, one that is not ended."""
        if not self.method.has_model:
            return
        self._continues()
        if self.trained.two_phase:
            self._has_phases()
        if self.trainer is self.job:
            self._depends_on_seeds(
                self._trained_with("another-seed", seed=SEED + 1),
                lambda: self._trained_with("own-seeds", own_seeds=True),
                "fit",
                SEEDED,
            )

    def _continues(self) -> None:
        model = self._interrupted()
        if model is None:
            model, _ = self._train("second")
        (again,) = self._translate(model, WAYS[:1])
        if np.array_equal(again, self.whole):
            return
        plain = self._trained_with("third")
        self._same(plain, "two trainings with the same seed differ", SEEDED, "fit")
        fix = "keep in run.state_dir all that changes (weights, optimiser, random generators, step), and load it again"
        self._same(again, "a training that was killed and continued ends otherwise than one that was not", fix, "fit")

    def _depends_on_seeds(self, reseeded: np.ndarray, by_itself: Callable[[], np.ndarray], what: str, fix: str) -> None:
        """Chance follows the seeds that it is handed; there is none in what says so.

        Args:
            reseeded: translations after `what` was handed another seed.
            by_itself: makes those where it was handed the same, and what it seeds by itself has another.
        """
        said = self.location.meta().get("deterministic", False)
        if not np.array_equal(reseeded, self.whole):
            if said:
                problem = "another seed changes the images, though method.yaml says `deterministic: true`"
                raise UserError(problem, f"method '{self.location.id}', {what}", "take that out of method.yaml")
            return
        if said:
            return
        try:
            other = by_itself()
        except UserError:  # an experiment of ours, which may not suit it
            return
        if not np.array_equal(other, self.whole):
            self.room.warn(f"{what}: draws by a seed of its own, so that another seed changes nothing; {fix}")

    def _trained_with(self, name: str, **options: Any) -> np.ndarray:
        """Translations by another model."""
        return self._translate(self._train(name, **options)[0], WAYS[:1])[0]

    def _has_phases(self) -> None:
        first, _ = self._train("phase-1", verb="pretrain")
        apart = self._trained_with("phase-2", pretrained=first)
        self._same(apart, "phases in jobs of their own give another model", "seed each by run.seed", "fit_pretrained")

    # -- jobs ---------------------------------------------------------------------------------------------------------
    def _job(self, location: Location[Method]) -> MethodJob:
        settings = self.settings if location is self.location else None
        settings = location.meta().get("smoke", {}) if settings is None else settings
        return MethodJob(location.id, location, settings, SEED, "cpu", 1, Progress(quiet=True))

    def _process(self, verb: str, job: MethodJob, **options: Any) -> _Logged:
        return _Logged(self.room, job, verb, compiled=self._compiled(job), **options)

    def _compiled(self, job: MethodJob) -> Path | None:
        """What its compilers made, asked for once; where that fails, each process compiles for itself."""
        if job.location.id not in self.kept:
            limits = replace(self.room.limits, seconds=COMPILING * self.room.limits.seconds)
            with self.room.log() as log:  # what is forked prints into a file
                self.kept[job.location.id] = compiled(job, limits=limits, start=self.room.start, log=log)
        return self.kept[job.location.id]

    def _train(
        self,
        name: str,
        verb: str = "train",
        pretrained: Path | None = None,
        interrupt: dict[str, int] | None = None,
        seed: int = SEED,
        own_seeds: bool = False,
    ) -> tuple[Path, dict[str, Any]]:
        """A training in a folder of its own; the model's folder, and what the training says of itself."""
        state, saved, model = (self.room.folder / f"{part}-{name}" for part in ("state", "saved", "model"))
        saved.mkdir()
        state.mkdir(exist_ok=True)
        read = (pretrained,) if pretrained else ()
        options = {"read": read, "write": (state, saved), "available": N_TRAIN}
        with self._process(verb, replace(self.trainer, seed=seed), **options) as process:
            method = process.described
            drawn = method.supervision in ("few-shot", "paired")
            rows = draw(method.wanted_slices, N_TRAIN, SEED)
            rows = rows if rows is None else unpaired(rows, SEED)
            done = process.perform(
                verb,
                **Handing(method.shape).train(process.data, drawn, rows),
                state=str(state),
                pretrained=pretrained and str(pretrained),
                out=str(saved),
                interrupt=interrupt or {},
                own_seeds=own_seeds,
            )
        self._look(done)
        check_saved(saved)
        with atomic_dir(model) as folder:
            for path in saved.iterdir():
                path.rename(folder / path.name)
        return model, done

    def _interrupted(self) -> Path | None:
        """A training that goes on after it was ended in the middle; None where it tells of nothing to end it at."""
        how = {"writes": (self.writes + 1) // 2} if self.writes else {"steps": self.steps // 2}
        if not any(how.values()):
            return None
        try:
            return self._train("second", interrupt=how)[0]
        except UserError:  # it was killed, as it should
            saved = self.room.folder / "saved-second"
            saved.rename(saved.with_name("saved-killed"))
        return self._train("second")[0]

    def _translate(self, model: Path | None, ways: Sequence[Way]) -> list[np.ndarray]:
        """Translations of the test slices in the given orders and batch sizes; each in order of id."""
        found = []
        lender = self.trainer.location if self.trainer is not self.job else None
        with self._process("translate", self.job, read=(model,) if model else (), lender=lender) as process:
            target, asked, handing = phantom(N_TEST, 2), [], Handing(self.method.shape)
            for number, way in enumerate(ways):
                out = process.out / str(number)
                out.mkdir()
                asked.append({**handing.test(process.data, number, way), "out": str(out)})
            done = process.perform(
                "translate",
                ways=asked,
                model=model and str(model),
                name="t1",
                state=str(process.scratch / "tmp"),
                target=_handed(process.data / "t1.npy", target) if self.method.control else None,
                subjects=SUBJECTS,
                seed=7,
            )
            names = ["t1", *checked_names(done["intermediates"])]
            for number, way in enumerate(ways):
                arrays = [mapped(process.out / str(number) / f"{name}.npy", "return an array") for name in names]
                images = [checked_images(np.array(array), target.shape) for array in arrays]
                found.append(images[0][np.argsort(way.order)])
        self._look(done)
        return found

    def _look(self, done: dict[str, Any]) -> None:
        if done["looked_for"]:
            self.room.warn(f"looked for what is not there for it: {', '.join(done['looked_for'])}")

    def _same(self, images: np.ndarray, problem: str, fix: str, where: str = "translate") -> None:
        if not np.array_equal(images, self.whole):
            worst = float(np.abs(images - self.whole).max())
            raise UserError(f"{problem} (by up to {worst:.2g})", f"method '{self.location.id}', {where}", fix)


class _Logged(PluginProcess):
    """A method's process with the room's limits and log."""

    def __init__(self, room: Room, job: MethodJob, verb: str, **options: Any):
        super().__init__(job, verb, tasks=TASKS, start=room.start, limits=room.limits, **options)
        self.room = room

    def __enter__(self) -> _Logged:
        self.log = self._stack.enter_context(self.room.log())
        return super().__enter__()


def _handed(path: Path, images: np.ndarray) -> str:
    """Put images [N,1,H,W] where a process may read them, as jobs do; the file."""
    np.save(path, images[:, 0], allow_pickle=False)
    return str(path)
