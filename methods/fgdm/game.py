"""FGDM's training: a denoising diffusion GAN, whose generator learns from a judge of single steps alone."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import softplus

from xmodbench.learning.diffusion.batches import Batch
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.training import DiffusionTraining
from xmodbench.learning.gan.game import frozen
from xmodbench.learning.training.state import named, optimizer_tensors, part, restore_optimizer
from xmodbench.seeding import derive_seed

from .edges import SIGMAS, THRESHOLDS, edge_maps
from .judge import Judge


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
    columns = ("loss", "judge", "penalty")
    several_processes = False

    def __init__(self, model: DiffusionModel, *given):
        super().__init__(model, *given)
        s = self.settings
        self.judge = Judge(s.judge_width, s.judge_blocks).to(self.job.device).train()
        betas = (0.5, 0.9)
        self.optimizer = torch.optim.Adam(self.model.network.parameters(), lr=s.learning_rate, betas=betas)
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), lr=s.judge_rate, betas=betas)
        self.job.facts["judge_parameters"] = sum(p.numel() for p in self.judge.parameters())

    def step(self, step: int) -> tuple[torch.Tensor, ...]:
        """One update of the judge, one of the generator and of its average; their losses and the judge's penalty."""
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "game", step))
        share = self.learning_rate(step) / s.learning_rate
        for optimizer, rate in ((self.optimizer, s.learning_rate), (self.judge_optimizer, s.judge_rate)):
            for group in optimizer.param_groups:
                group["lr"] = share * rate
        batch = self.batches.at(step, self.job.device)
        clean, edges = self.model.inside(batch.clean), self.channels(batch)
        earlier, later = self.pair(clean, batch.t, batch.eps)
        fake = self.earlier(self.model.answer(later, batch.t, edges), later, batch.t)
        judged, penalty = judge_loss(self.judge, earlier, fake.detach(), later, batch.t, s.r1_gamma)
        _update(self.judge_optimizer, judged + penalty)
        with frozen(self.judge):
            fooled = softplus(-self.judge(fake, later, batch.t)).mean()
            _update(self.optimizer, fooled)
        decay = min(s.ema_decay, (1 + step) / (10 + step)) if s.ema_warmup else s.ema_decay
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, list(self.model.network.parameters()), 1 - decay)
        return fooled.detach(), judged.detach(), penalty.detach()

    def pair(self, clean: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images at times ``t - 1`` (clean ones where t is 0) and `t`, the later one made of the earlier."""
        process = self.model.process
        before = torch.where((t > 0).reshape(-1, 1, 1, 1), process.diffuse(clean, (t - 1).clamp_min(0), eps), clean)
        beta = process.betas.to(clean.device)[t].reshape(-1, 1, 1, 1)
        return before, (1 - beta).sqrt() * before + beta.sqrt() * torch.randn_like(clean)

    def earlier(self, clean: torch.Tensor, later: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """A draw of the image at time ``t - 1``, given the clean one and that at `t`."""
        of_clean, of_later, std = self.model.process.posterior(t, later)
        return of_clean * clean + of_later * later + std * torch.randn_like(later)

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
    judge: Judge, real: torch.Tensor, fake: torch.Tensor, later: torch.Tensor, t: torch.Tensor, gamma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The judge's mean loss, and ``gamma / 2`` times the mean squared gradient at real images (R1)."""
    real = real.detach().requires_grad_(True)
    scores = judge(real, later, t)
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    penalty = gamma / 2 * gradient.flatten(1).square().sum(1).mean()
    return softplus(-scores).mean() + softplus(judge(fake, later, t)).mean(), penalty


def _update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
