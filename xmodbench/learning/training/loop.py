"""The training loop of all methods: resumable at any step, logged, stopped by SIGTERM without a loss."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from xmodbench.errors import UserError
from xmodbench.plugins import Run

from . import processes
from .log import LossLog
from .optimisers import leave_out_compiler
from .plot import strip
from .state import TERMINATED, load_state, part, save_state, termination_noticed

NOTES = 200  # rows of the log
FIRST_SAVE_S = 15.0  # seconds to the first save of the state, then twice as many each time up to `checkpoint_s`
VOTE_EVERY = 8  # steps between two questions to the other processes; each makes a GPU wait
leave_out_compiler()  # a method makes its optimisers after it has imported this


class Training(ABC):
    """What the loop needs to know of a method's training.

    Attributes:
        name: of the state's folder.
        columns: names of the values `step` returns.
        steps: optimiser steps in all.
        settings: with ``checkpoint_s``, the most seconds between two saves of the state; maybe ``snapshots``, how many.
        fingerprint: hash of all that decides the result; the state of another one is not resumed.
        several_processes: whether several processes can share the work.
        rate_option: the option that sets the optimiser's step size, for messages.
        validate_every: steps between two looks at slices that are held out; 0 where none are.
        patience: looks without a better one after which training stops; 0 never stops it.
        followed: whether another training follows in the same job; the state after the last step is then saved too.
    """

    name: ClassVar[str]
    columns: tuple[str, ...]
    steps: int
    settings: Any
    fingerprint: str
    several_processes: ClassVar[bool] = False
    rate_option: ClassVar[str] = "learning_rate"
    followed: ClassVar[bool] = False
    validate_every: int = 0
    patience: int = 0

    @abstractmethod
    def step(self, step: int) -> Sequence[torch.Tensor]:
        """Train for one step, all randomness from the run's seed and `step`; a scalar for each of the columns."""

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """The optimiser's step size in `step`."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """All that changes in training."""

    @abstractmethod
    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""

    def preview(self) -> np.ndarray | None:
        """Images to look at, [rows, columns, H, W] in [0, 1]: a few inputs above their translations by the present weights.

        Must change nothing: neither weights nor torch's global generator.
        """
        return None

    def validation(self) -> torch.Tensor:
        """The loss on slices that are held out, a scalar; must change nothing, as `preview`."""
        raise NotImplementedError

    def keep(self) -> None:
        """Keep the present weights as the best so far, in `tensors`; they are those that `finish` leaves."""
        raise NotImplementedError

    @abstractmethod
    def finish(self) -> None:
        """After the last step: leave the networks ready for use."""


def train(training: Training, run: Run) -> LossLog:
    """Run a training to its end.

    On a CPU, a job that was killed and started again ends with the same bits as one that was not.

    Raises:
        UserError: a loss is no longer finite, the state of an earlier job cannot be used, or several processes were started
            for a method that takes one.
        SystemExit: SIGTERM came; the state has been saved.
    """
    if processes.world() > 1 and not training.several_processes:
        problem = f"{processes.world()} processes were started, this method trains in one"
        raise UserError(problem, "train", "start it without accelerate or torchrun")
    return _Loop(training, run).go()


def snapshot_steps(steps: int, count: int) -> set[int]:
    """After how many steps snapshots are taken: at the ends of `count` equal parts, fewer where there are fewer steps."""
    return {round(steps * (index + 1) / count) for index in range(count)} - {0}


class _Loop:
    def __init__(self, training: Training, run: Run):
        self.training, self.job = training, run
        self.log = LossLog((*training.columns, "learning_rate"))
        self.sums = torch.zeros(len(training.columns), dtype=torch.float64, device=run.device)
        self.folder = run.state_dir / training.name
        self.saved = self.began = time.monotonic()
        self.wait = min(FIRST_SAVE_S, training.settings.checkpoint_s)
        self.looking = 0.0

    def go(self) -> LossLog:
        training, steps = self.training, self.training.steps
        start, every = self._restored(), max(1, steps // NOTES)
        if not processes.same(start, self.job.device):
            problem = "the processes found different states to resume from"
            raise UserError(problem, self.folder, "put it on a disk that all of them share")
        looks = snapshot_steps(steps, getattr(training.settings, "snapshots", 0))
        with termination_noticed() as terminated:
            for step in self.job.progress.track(range(start, steps), "train", total=steps, start=start):
                if self._enough():
                    break
                self.sums += torch.stack([value.detach() for value in training.step(step)]).to(self.sums)
                self._validate(step + 1)
                last = step + 1 == steps or self._enough()
                if (step + 1) % every == 0 or last:
                    self._note(step, step % every + 1)
                if step + 1 in looks or (last and looks):
                    self._look(step + 1)
                self._pause(step, bool(terminated))
        if training.followed and start < steps:
            self._save(steps)
        training.finish()
        self._note_time()
        self._note_length()
        return self.log

    def _note_time(self) -> None:
        """Seconds of this job spent in the loop and, of them, on snapshots; added up where trainings follow each other."""
        spent = {"training_s": time.monotonic() - self.began, "snapshots_s": self.looking}
        facts = self.job.facts
        facts.update({name: round(facts.get(name, 0) + value, 2) for name, value in spent.items()})

    def _note_length(self) -> None:
        """Where slices were held out: how long it went on, and why it ended."""
        if (best := self.log.best) is None:
            return
        stopped = "no longer helped" if self._enough() else "limit"
        length = {"steps": int(self.log.rows[-1][0]), "most_steps": self.training.steps, "stopped": stopped}
        self.job.facts.update(length, best_step=best[0], best_validation=best[1])

    def _validate(self, done: int) -> None:
        """After `done` steps, look at slices that are held out, and keep the weights where they are the best so far."""
        every = self.training.validate_every
        if not every or (done % every and done != self.training.steps):
            return
        began = time.monotonic()
        value = self.training.validation().to(self.sums)
        processes.average(value)
        self._finite("loss on held-out slices", value.item(), done)
        self.log.validation.append((done, value.item()))
        if self.log.best == self.log.validation[-1]:
            self.training.keep()
        self.looking += time.monotonic() - began

    def _enough(self) -> bool:
        """Whether the last looks were no better than one before them."""
        points, patience = self.log.validation, self.training.patience
        best = self.log.best
        return bool(patience and best and len(points) - 1 - points.index(best) >= patience)

    def _note(self, step: int, stretch: int) -> None:
        processes.average(self.sums)
        self._check_finite(step)
        means = (self.sums / stretch).tolist()
        self.log.rows.append((step + 1, *means, self.training.learning_rate(step)))
        self.sums.zero_()

    def _check_finite(self, step: int) -> None:
        # sums, not single values: looking at each step would make a GPU wait
        for name, value in zip(self.training.columns, self.sums.tolist(), strict=True):
            self._finite(name, value, step + 1)

    def _finite(self, name: str, value: float, done: int) -> None:
        if not math.isfinite(value):
            problem = f"'{name}' is not finite by step {done}"
            raise UserError(problem, "training", f"lower {self.training.rate_option} and run again")

    def _look(self, done: int) -> None:
        """Take a snapshot after `done` steps."""
        began = time.monotonic()
        if processes.rank() == 0 and (images := self.training.preview()) is not None:
            self.log.snapshots[done] = strip(images)
        self.looking += time.monotonic() - began

    # -- state ------------------------------------------------------------------------------------------------------
    def _pause(self, step: int, terminated: bool) -> None:
        """Save where it is time to, and stop where SIGTERM came to any process."""
        due = time.monotonic() - self.saved > self.wait
        if processes.world() > 1:
            if (step + 1) % VOTE_EVERY:
                return
            terminated, due = processes.agree([terminated, due], self.job.device)
        if terminated or due:
            processes.average(self.sums)
            self._check_finite(step)  # a state to resume from is never a broken one
            self._save(step + 1)
            self.saved = time.monotonic()
            self.wait = min(2 * self.wait, self.training.settings.checkpoint_s)
        if terminated:
            self.job.progress.say(f"stopped by SIGTERM at step {step + 1}; start the job again to go on")
            raise SystemExit(TERMINATED)

    def _save(self, done: int) -> None:
        if processes.rank() == 0:
            facts = {"fingerprint": self.training.fingerprint, "done": done, "log": self.log.rows}
            facts["validation"] = self.log.validation
            tensors = {**self.training.tensors(), "loop.sums": self.sums}
            save_state(self.folder, tensors, facts, self.log.save_snapshots)

    def _restored(self) -> int:
        """Go back to the state of an earlier job, if there is one; the step to go on with."""
        found = load_state(self.folder, self.training.fingerprint, self.job.progress.say)
        if found is None:
            return 0
        tensors, facts = found
        try:
            self.training.restore(tensors)
            self.sums.copy_(part("loop", tensors)["sums"])
        except (KeyError, ValueError, RuntimeError) as error:
            problem = f"the state there does not fit this training ({type(error).__name__}: {error})"[:300]
            fix = "it was saved by other code: delete the folder to begin anew"
            raise UserError(problem, self.folder, fix) from None
        self.log.rows = [tuple(row) for row in facts["log"]]
        self.log.validation = [(int(step), float(value)) for step, value in facts.get("validation", [])]
        self.log.load_snapshots(self.folder)
        self.job.progress.say(f"resumed at step {facts['done']} of {self.training.steps}")
        return int(facts["done"])
