"""The training loop: score matching for any `DiffusionModel`, resumable at any step."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from xmodbench.errors import UserError
from xmodbench.files import atomic_file, sha256_json
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed

from .batches import Batch, Batches
from .checkpoint import (
    TERMINATED,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
    termination_noticed,
)
from .model import DiffusionModel

Channels = Callable[[Batch], torch.Tensor | None]
"""Extra input channels [B, k, H, W] of a training batch."""


@dataclass
class LossLog:
    """Mean loss, gradient norm and learning rate over stretches of training."""

    rows: list[tuple[int, float, float, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write as CSV: step, loss, gradient_norm, learning_rate."""
        with atomic_file(path) as temporary, open(temporary, "w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(("step", "loss", "gradient_norm", "learning_rate"))
            writer.writerows((step, f"{a:.6g}", f"{b:.6g}", f"{c:.6g}") for step, a, b, c in self.rows)


def train(model: DiffusionModel, images: np.ndarray, channels: Channels, run: Run) -> LossLog:
    """Train `model` in place; it ends with the averaged (EMA) weights, in evaluation mode.

    On a CPU, a job that was killed and started again ends with the same bits as one that was not.

    Args:
        model: an untrained model.
        images: float32 ``[N, 1, H, W]`` in [0, 1].
        channels: the condition's channels of a batch.
        run: seed, device, threads, state folder and progress.

    Raises:
        UserError: the loss is no longer finite.
        SystemExit: SIGTERM came; the state has been saved.
    """
    if run.device == "cpu":
        torch.set_num_threads(run.threads)
    return _Job(model, images, channels, run).run()


class _Job:
    def __init__(self, model: DiffusionModel, images: np.ndarray, channels: Channels, run: Run):
        self.model, self.channels, self.job, self.settings = model, channels, run, model.settings
        s = self.settings
        self.accelerator = _accelerator(s, run)
        world = self.accelerator.num_processes
        per_step = s.batch_size * s.accumulation * world
        self.steps = s.iterations or math.ceil(s.epochs * len(images) / per_step)
        self.batches = Batches(images, s, run.seed, self.accelerator.process_index, world)
        network = model.network.to(run.device).train()
        if s.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=s.learning_rate)
        prepared = self.accelerator.prepare(torch.compile(network) if s.compile else network)
        self.prepared = replace(model, network=prepared)
        self.ema = [parameter.detach().clone() for parameter in network.parameters()]
        self.log, self.sums = LossLog(), torch.zeros(2, dtype=torch.float64, device=run.device)
        data = f"{images.shape} {float(np.mean(images, dtype=np.float64))!r}"
        self.fingerprint = sha256_json([s.model_dump(mode="json"), data, run.seed, world])
        self.state_folder = run.state_dir / "diffusion"

    def run(self) -> LossLog:
        start, every = self._restore(), max(1, self.steps // 200)
        saved = time.monotonic()
        with termination_noticed() as terminated:
            for step in self.job.progress.track(range(start, self.steps), "train", total=self.steps, start=start):
                self._step(step)
                if (step + 1) % every == 0 or step + 1 == self.steps:
                    self._note(step, every)
                if terminated or time.monotonic() - saved > self.settings.checkpoint_s:
                    self._save(step + 1)
                    saved = time.monotonic()
                if terminated:
                    self.job.progress.say(f"stopped by SIGTERM at step {step + 1}; start the job again to go on")
                    raise SystemExit(TERMINATED)
        with torch.no_grad():
            for parameter, average in zip(self.model.network.parameters(), self.ema, strict=True):
                parameter.copy_(average)
        self.model.network.eval()
        return self.log

    def _step(self, step: int) -> None:
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "dropout", step, self.accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(s, step, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        for micro in range(s.accumulation):
            loss = self._loss(self.batches.at(step * s.accumulation + micro, self.job.device))
            self.sums[0] += loss.detach() / s.accumulation
            self.accelerator.backward(loss)
        parameters = list(self.model.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, s.gradient_clip)
        self.sums[1] += norm.detach()
        self.optimizer.step()
        decay = min(s.ema_decay, (1 + step) / (10 + step)) if s.ema_warmup else s.ema_decay
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, parameters, 1 - decay)

    def _loss(self, batch: Batch) -> torch.Tensor:
        s, model = self.settings, self.prepared
        clean = model.inside(batch.clean)
        noisy = model.process.diffuse(clean, batch.t, batch.eps)
        extra = self.channels(batch)
        with self.accelerator.autocast():
            answer = model.answer(noisy, batch.t, extra).float()
        error = (answer - model.process.target(s.prediction, clean, batch.t, batch.eps)) ** 2
        per_image = error.flatten(1).sum(1) if s.loss_reduction == "sum" else error.flatten(1).mean(1)
        if s.weighting == "score":
            per_image = per_image / model.process.noise.to(per_image)[batch.t] ** 2
        return per_image.mean()

    def _note(self, step: int, every: int) -> None:
        loss, norm = (self.sums / (step % every + 1)).tolist()
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is not finite at step {step + 1}", "training", "lower learning_rate or gradient_clip"
            )
        self.log.rows.append((step + 1, loss, norm, learning_rate(self.settings, step, self.steps)))
        self.sums.zero_()

    # -- state ------------------------------------------------------------------------------------------------------
    def _save(self, done: int) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        tensors = {f"network.{name}": value for name, value in self.model.network.state_dict().items()}
        tensors |= {f"ema.{index}": value for index, value in enumerate(self.ema)}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        facts = {"fingerprint": self.fingerprint, "done": done, "log": self.log.rows}
        save_state(self.state_folder, {**tensors, "sums": self.sums}, facts)

    def _restore(self) -> int:
        found = load_state(self.state_folder, self.fingerprint)
        if found is None:
            return 0
        tensors, facts = found
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "ema": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if name:
                parts[part][name] = value
        self.model.network.load_state_dict(parts["network"])
        for index, average in enumerate(self.ema):
            average.copy_(parts["ema"][str(index)])
        restore_optimizer(self.optimizer, parts["optimizer"])
        self.sums.copy_(tensors["sums"])
        self.log = LossLog([tuple(row) for row in facts["log"]])
        self.job.progress.say(f"resumed at step {facts['done']} of {self.steps}")
        return int(facts["done"])


def learning_rate(settings, step: int, steps: int) -> float:
    """Adam's step size at `step`: constant, or a one-cycle (a cosine up over the first 15 %, another down to 1/100)."""
    if settings.lr_schedule == "constant":
        return settings.learning_rate
    up = max(1, round(0.15 * steps))
    place = step / up if step < up else 1 - (step - up) / max(1, steps - up)
    floor = 0.1 if step < up else 0.01
    return settings.learning_rate * (floor + (1 - floor) * (1 - math.cos(math.pi * place)) / 2)


def _accelerator(settings, run: Run):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # a process may train several models, with different precision
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=run.device == "cpu",
        mixed_precision="bf16" if settings.precision == "bf16" else "no",
        gradient_accumulation_steps=settings.accumulation,
    )
