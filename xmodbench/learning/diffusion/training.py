"""Training of diffusion models: score matching for any `DiffusionModel`."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch

from xmodbench.learning.training import loop
from xmodbench.learning.training.compiling import compiled
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.state import fingerprint, named, optimizer_tensors, part, restore_optimizer
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed

from .batches import Batch, Batches
from .length import most_steps
from .model import DiffusionModel
from .snapshot import Translate, lent, snapshot
from .validation import fixed_batches, held_out, look_every

Channels = Callable[[Batch], torch.Tensor | None]
"""Extra input channels [B, k, H, W] of a training batch."""


def train(
    model: DiffusionModel,
    images: np.ndarray,
    channels: Channels,
    run: Run,
    translate: Translate,
    training: type[DiffusionTraining] | None = None,
) -> LossLog:
    """Train `model` in place; it ends with the averaged (EMA) weights, in evaluation mode.

    Args:
        model: an untrained model.
        images: float32 ``[N, 1, H, W]`` in [0, 1].
        channels: the condition's channels of a batch.
        run: seed, device, threads, state folder and progress.
        translate: how the method translates, for snapshots.
        training: the kind of training, where another loss than score matching teaches the network.

    Raises:
        UserError, SystemExit: see `xmodbench.learning.training.loop.train`.
    """
    kind = training or DiffusionTraining
    return loop.train(kind(model, images, channels, run, translate), run)


class DiffusionTraining(loop.Training):
    """Optimiser, averaged weights and batches of one model."""

    name = "diffusion"
    columns = ("loss", "gradient_norm")
    several_processes = True

    def __init__(self, model: DiffusionModel, images: np.ndarray, channels: Channels, run: Run, translate: Translate):
        self.model, self.channels, self.job, self.settings = model, channels, run, model.settings
        self.images, self.translate = images, translate
        s = self.settings
        self.accelerator = _accelerator(s, run)
        world = self.accelerator.num_processes
        per_step = s.batch_size * s.accumulation * world
        self.held_out = held_out(len(images), s.held_out)
        rows = np.setdiff1d(np.arange(len(images)), self.held_out)
        self.steps = _steps(s, len(rows), per_step, images.shape[2:], run.device)
        self.batches = Batches(images, s, run.seed, self.accelerator.process_index, world, rows)
        self.best: list[torch.Tensor] = []
        if len(self.held_out):
            self.validate_every, self.patience = look_every(self.steps), s.patience
            run.facts["held_out_slices"] = len(self.held_out)
        network = model.network.to(run.device).train()
        if s.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=s.learning_rate)
        prepared = compiled(network) if s.compile else network
        # of one process in full precision nothing is changed, for which torch's distributed tensors would be imported
        if world > 1 or s.precision != "fp32":
            prepared = self.accelerator.prepare(prepared)
        self.prepared = replace(model, network=prepared)
        self.ema = [parameter.detach().clone() for parameter in network.parameters()]
        run.facts.update(
            processes=world,
            slices_per_step=per_step,
            precision=s.precision,
            channels_last=s.channels_last,
            compile=s.compile,
        )
        self.fingerprint = fingerprint(s, [images], run.seed, world, self.steps)

    def step(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One update of the weights and of their average; loss and norm of the gradient."""
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "dropout", step, self.accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.job.device)
        for micro in range(s.accumulation):
            with self._gradients_kept(last=micro + 1 == s.accumulation):
                loss = self._losses(
                    self.prepared, self.batches.at(step * s.accumulation + micro, self.job.device)
                ).mean()
                self.accelerator.backward(loss)
            total += loss.detach() / s.accumulation
        parameters: list[torch.Tensor] = list(self.model.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, s.gradient_clip)
        self.optimizer.step()
        self.follow(step)
        return total, norm.to(total)

    def follow(self, step: int) -> None:
        """Move the average towards the weights after `step`."""
        s, parameters = self.settings, list[torch.Tensor](self.model.network.parameters())
        decay = min(s.ema_decay, (1 + step) / (10 + step)) if s.ema_warmup else s.ema_decay
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, parameters, 1 - decay)

    def _gradients_kept(self, last: bool):
        """Only the last of the accumulated batches sends gradients to the other processes."""
        return nullcontext() if last else self.accelerator.no_sync(self.prepared.network)

    def _losses(self, model: DiffusionModel, batch: Batch) -> torch.Tensor:
        """The loss of each image of a batch."""
        s = self.settings
        clean = model.inside(batch.clean)
        noisy = model.process.diffuse(clean, batch.t, batch.eps)
        extra = self.channels(batch)
        with self.accelerator.autocast():
            answer = model.answer(noisy, batch.t, extra).float()
        error = (answer - model.process.target(s.prediction, clean, batch.t, batch.eps)) ** 2
        per_image = error.flatten(1).sum(1) if s.loss_reduction == "sum" else error.flatten(1).mean(1)
        if s.weighting == "score":
            per_image = per_image / model.process.levels(batch.t, per_image)[1] ** 2
        return per_image

    @torch.no_grad()
    def validation(self) -> torch.Tensor:
        """The mean loss of the averaged weights on slices that are held out, with the same noise at the same times."""
        with lent(self.model, self.ema):
            batches = fixed_batches(self.images, self.held_out, self.settings, self.job.seed, self.job.device)
            return torch.cat([self._losses(self.model, batch) for batch in batches]).double().mean()

    def keep(self) -> None:
        """Keep the averaged weights."""
        self.best = [average.clone() for average in self.ema]

    def learning_rate(self, step: int) -> float:
        """Adam's step size in `step`."""
        return learning_rate(self.settings, step, self.steps)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, their average, Adam's moments."""
        return {
            **named("network", self.model.network.state_dict()),
            **{f"ema.{index}": value for index, value in enumerate(self.ema)},
            **{f"best.{index}": value for index, value in enumerate(self.best)},
            **named("optimizer", optimizer_tensors(self.optimizer)),
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        self.model.network.load_state_dict(part("network", tensors))
        for index, average in enumerate(self.ema):
            average.copy_(tensors[f"ema.{index}"])
        if "best.0" in tensors:
            self.best = [tensors[f"best.{index}"].to(average.device) for index, average in enumerate(self.ema)]
        restore_optimizer(self.optimizer, part("optimizer", tensors))

    def preview(self) -> np.ndarray:
        """Training slices above their translations by the averaged weights."""
        return snapshot(self.model, self.ema, self.images, self.translate, self.job.seed)

    def finish(self) -> None:
        """Put the averaged weights, the best that were kept, in place of the last ones."""
        with torch.no_grad():
            for parameter, average in zip(self.model.network.parameters(), self.best or self.ema, strict=True):
                parameter.copy_(average)
        self.model.network.eval()


def _steps(settings, slices: int, per_step: int, shape: tuple[int, ...], device: str) -> int:
    """Optimiser steps: as the settings say, or at most as many as suit so many slices and the device."""
    if settings.iterations:
        return settings.iterations
    if settings.epochs:
        return math.ceil(settings.epochs * slices / per_step)
    return most_steps(slices, per_step, shape, device)


def learning_rate(settings, step: int, steps: int, largest: float | None = None) -> float:
    """Adam's step size at `step`: constant, a cosine down to 1/15 of ``learning_rate``, or a one-cycle.

    The one-cycle is a cosine up over the first 15 %, and another down to 1/100. `largest` takes the place of
    ``learning_rate``, but at the end of the cosine.
    """
    largest = settings.learning_rate if largest is None else largest
    if settings.lr_schedule == "constant":
        return largest
    if settings.lr_schedule == "cosine":
        last = settings.learning_rate / 15
        return last + (largest - last) * (1 + math.cos(math.pi * step / steps)) / 2
    up = max(1, round(0.15 * steps))
    place = step / up if step < up else 1 - (step - up) / max(1, steps - up)
    floor = 0.1 if step < up else 0.01
    return largest * (floor + (1 - floor) * (1 - math.cos(math.pi * place)) / 2)


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
