"""FGDM's training: a denoising diffusion GAN, whose generator learns from a judge of single steps."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import l1_loss

from xmodbench.learning.denoising_gan.judge import TimeJudge
from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining, learning_rate
from xmodbench.learning.gan.game import frozen
from xmodbench.learning.gan.losses import cross_entropy, squared_gradient
from xmodbench.learning.training.state import named, optimizer_tensors, part, restore_optimizer
from xmodbench.seeding import derive_seed

from .edges import SIGMAS, THRESHOLDS, edge_maps


def training_edges(batch: Batch) -> torch.Tensor:
    """Edges of a batch's slices [B, 1, H, W], each with a filter and a threshold drawn from its own seed."""
    draws = [
        np.random.default_rng(derive_seed(seed, "edges")).integers(1, (SIGMAS + 1, THRESHOLDS + 1))
        for seed in batch.seeds.tolist()
    ]
    sigma, threshold = torch.tensor(np.array(draws), dtype=torch.float32, device=batch.clean.device).unbind(1)
    return edge_maps(batch.clean, sigma, threshold)


class GameTraining(DiffusionTraining):
    """Judge and generator in turn; the generator's clean images reach the judge through the posterior of a step."""

    name = "game"
    columns = ("loss", "error", "judge", "penalty")
    several_processes = False

    def __init__(self, model: DiffusionModel, *given):
        super().__init__(model, *given)
        s = self.settings
        self.judge = TimeJudge(s.judge_width, s.judge_blocks).to(self.job.device).train()
        betas = (0.5, 0.9)
        self.optimizer = torch.optim.Adam(self.model.network.parameters(), lr=s.learning_rate, betas=betas)
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), lr=s.judge_rate, betas=betas)
        self.job.facts["judge_parameters"] = sum(p.numel() for p in self.judge.parameters())

    def step(self, step: int) -> tuple[torch.Tensor, ...]:
        """One update of the judge, one of the generator and of its average; their losses and the judge's penalty."""
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "game", step))
        for optimizer, first in ((self.optimizer, s.learning_rate), (self.judge_optimizer, s.judge_rate)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(s, step, self.steps, first)
        batch, process = self.batches.at(step, self.job.device), self.model.process
        clean, t, edges = self.model.inside(batch.clean), batch.t, self.channels(batch)
        earlier, later = process.pair(clean, t, batch.eps, torch.randn_like(clean))
        with self.accelerator.autocast():
            found = self.prepared.answer(later, t, edges).float()
        fake = process.back(found, later, t, torch.randn_like(later))
        judged, penalty = judge_loss(self.judge, earlier, fake.detach(), later, t, s.r1_gamma)
        _update(self.judge_optimizer, judged + penalty)
        with frozen(self.judge):
            fooled, error = cross_entropy(self.judge(fake, t, later), True), l1_loss(found, clean)
            _update(self.optimizer, fooled + s.l1 * error if s.l1 else fooled)
        self.follow(step)
        return fooled.detach(), error.detach(), judged.detach(), penalty.detach()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The generator's as ever, and the judge's."""
        return {
            **super().tensors(),
            **named("judge", self.judge.state_dict()),
            **named("judging", optimizer_tensors(self.judge_optimizer)),
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        super().restore(tensors)
        self.judge.load_state_dict(part("judge", tensors))
        restore_optimizer(self.judge_optimizer, part("judging", tensors))


def judge_loss(
    judge: torch.nn.Module, real: torch.Tensor, fake: torch.Tensor, later: torch.Tensor, t: torch.Tensor, gamma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The judge's mean loss, and ``gamma / 2`` times the mean squared gradient at real images (R1)."""
    real = real.detach().requires_grad_(True)
    scores = judge(real, t, later)
    loss = cross_entropy(scores, True) + cross_entropy(judge(fake, t, later), False)
    return loss, gamma / 2 * squared_gradient(scores, real)


def _update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
