"""The training loop of adversarial methods, resumable at any step."""

from __future__ import annotations

import csv
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from xmodbench.diffusion.checkpoint import (
    TERMINATED,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
    termination_noticed,
)
from xmodbench.errors import UserError
from xmodbench.files import atomic_file, sha256_json
from xmodbench.gan.batches import Batches
from xmodbench.gan.game import Game
from xmodbench.gan.schedule import learning_rate, total_steps
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed


@dataclass
class LossLog:
    """Learning rate and mean losses over stretches of training."""

    names: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write as CSV: step, learning_rate and a column for each loss."""
        with atomic_file(path) as temporary, open(temporary, "w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(("step", "learning_rate", *self.names))
            writer.writerows((int(step), *(f"{value:.6g}" for value in values)) for step, *values in self.rows)


def train(game: Game, batches: Batches, run: Run) -> LossLog:
    """Train the networks of `game` in place; they end in evaluation mode.

    On a CPU, a job that was killed and started again ends with the same bits as one that was not.

    Raises:
        UserError: a loss is no longer finite.
        SystemExit: SIGTERM came; the state has been saved.
    """
    return _Job(game, batches, run).run()


class _Job:
    def __init__(self, game: Game, batches: Batches, run: Run):
        self.game, self.batches, self.job, self.settings = game, batches, run, game.settings
        self.steps = total_steps(self.settings, batches.per_epoch)
        self.log = LossLog(game.losses)
        self.sums = torch.zeros(len(game.losses), dtype=torch.float64, device=run.device)
        data = [f"{x.shape} {float(np.mean(x, dtype=np.float64))!r}" for x in (batches.source, batches.target)]
        self.fingerprint = sha256_json([self.settings.model_dump(mode="json"), data, run.seed])
        self.state_folder = run.state_dir / "gan"

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
        for network in self.game.networks.values():
            network.eval()
        return self.log

    def _step(self, step: int) -> None:
        rate = learning_rate(self.settings, step, self.batches.per_epoch)
        for optimizer in self.game.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        seed = derive_seed(self.job.seed, "game", step)
        torch.manual_seed(seed)
        losses = self.game.step(self.batches.at(step, self.job.device), seed)
        self.sums += torch.stack([losses[name].detach() for name in self.game.losses]).to(self.sums)

    def _note(self, step: int, every: int) -> None:
        self._check_finite(step)
        means = (self.sums / (step % every + 1)).tolist()
        self.log.rows.append((step + 1, learning_rate(self.settings, step, self.batches.per_epoch), *means))
        self.sums.zero_()

    def _check_finite(self, step: int) -> None:
        # sums, not single losses: looking at each step would make a GPU wait
        for name, value in zip(self.game.losses, self.sums.tolist(), strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"the loss '{name}' is not finite by step {step + 1}",
                    "training",
                    "lower learning_rate and run again",
                )

    # -- state ------------------------------------------------------------------------------------------------------
    def _save(self, done: int) -> None:
        self._check_finite(done - 1)  # a state to resume from is never a broken one
        tensors = {"sums": self.sums}
        for name, network in self.game.networks.items():
            tensors |= {f"network.{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self.game.optimizers.items():
            tensors |= {f"optimizer.{name}.{key}": value for key, value in optimizer_tensors(optimizer).items()}
        for name, pool in self.game.pools.items():
            tensors |= {f"pool.{name}.{index}": image for index, image in enumerate(pool.images)}
        save_state(self.state_folder, tensors, {"fingerprint": self.fingerprint, "done": done, "log": self.log.rows})

    def _restore(self) -> int:
        found = load_state(self.state_folder, self.fingerprint)
        if found is None:
            return 0
        tensors, facts = found
        parts: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key != "sums":
                kind, name, rest = key.split(".", 2)
                parts.setdefault((kind, name), {})[rest] = value
        for name, network in self.game.networks.items():
            network.load_state_dict(parts["network", name])
        for name, optimizer in self.game.optimizers.items():
            restore_optimizer(optimizer, parts["optimizer", name])
        for name, pool in self.game.pools.items():
            kept = parts.get(("pool", name), {})
            pool.images = [kept[str(index)].to(self.job.device) for index in range(len(kept))]
        self.sums.copy_(tensors["sums"])
        self.log.rows = [tuple(row) for row in facts["log"]]
        self.job.progress.say(f"resumed at step {facts['done']} of {self.steps}")
        return int(facts["done"])
