"""Training of the GAN: StyleGAN2 with adaptive augmentation (Karras et al. 2020, NeurIPS)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from xmodbench.errors import UserError
from xmodbench.learning.gan.losses import r1
from xmodbench.learning.training import processes
from xmodbench.learning.training.loop import Training
from xmodbench.learning.training.state import fingerprint, named, optimizer_tensors, part, restore_optimizer
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed

from .ada import Controller
from .augment import augment
from .batches import Batches
from .discriminator import Discriminator
from .generator import Generator
from .losses import path_lengths, says_fake, says_real
from .optimisation import Gradients, average_into, fill_missing, half_life_decay, lazy_adam
from .precision import use_half, use_single
from .settings import PRETRAINING_SETTINGS

PATH_INTERVAL, R1_INTERVAL, PATH_DECAY = 4, 16, 0.01
SHOWN = 8  # samples in a snapshot


def _share(batch_size: int, world: int) -> int:
    """Slices of a batch for each of `world` processes."""
    if batch_size % world:
        problem = f"{batch_size} slices cannot be divided among {world} processes"
        raise UserError(problem, "batch_size", "choose a multiple, or other compute.processes")
    return batch_size // world


def as_grid(images: torch.Tensor, rows: int) -> np.ndarray:
    """Images [N,1,R,R] in about [-1, 1] as [rows, N / rows, R, R] in [0, 1]."""
    side = images.shape[2]
    return ((images.float() + 1) / 2).clamp(0, 1).reshape(rows, -1, side, side).cpu().numpy()


class GanTraining(Training):
    """Generator against discriminator, with the running average of the generator's weights in `average`.

    Args:
        settings: resolved.
        images: float32 ``[N, 1, H, W]`` in [0, 1].
        run: seed and device; torch's global generator must have been seeded for the weights.
    """

    name = "stylegan2_gan"
    columns = ("generator", "path_length", "discriminator", "r1", "sign_real", "augment_p", "repaired")
    followed = True
    several_processes = True

    def __init__(self, settings, images: np.ndarray, run: Run):
        s = self.settings = settings
        self.job, self.device = run, run.device
        self.steps = math.ceil(s.kimg * 1000 / s.batch_size)
        processes.join(run.device)
        self.share = _share(s.batch_size, processes.world())
        self.fingerprint = fingerprint(s, [images], run.seed, processes.world(), fields=PRETRAINING_SETTINGS)
        flip, part = 0.5 if s.mirror else 0.0, (processes.rank(), processes.world())
        self.batches = Batches(images, s.resolution, s.batch_size, flip, derive_seed(run.seed, "gan"), part)
        self.generator = Generator(s).to(run.device)
        self.discriminator = Discriminator(s).to(run.device)
        use_half(self.generator, self.discriminator, s.num_fp16_res or 0, s.conv_clamp)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimizers = {
            "generator": lazy_adam(self.generator, s.learning_rate, PATH_INTERVAL),
            "discriminator": lazy_adam(self.discriminator, s.learning_rate, R1_INTERVAL),
        }
        self.controller = Controller(s.ada_target, s.batch_size, s.ada_kimg, run.device)
        self.gradients = Gradients(run.device, ("generator", "path length", "discriminator", "R1"))
        self.path_mean = torch.zeros((), device=run.device)
        self.logged = torch.zeros(len(self.columns), device=run.device)

    def step(self, step: int) -> Sequence[torch.Tensor]:
        """Generator, path length (every 4th step), discriminator, R1 (every 16th), average, augmentation."""
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "gan", step, processes.rank()))
        images = self.batches.at(step, self.device)
        found = {"generator": self._train_generator()}
        if step % PATH_INTERVAL == 0 and s.path_length:
            found["path_length"] = self._path_length()
        found["discriminator"], found["sign_real"] = self._train_discriminator(images)
        if step % R1_INTERVAL == 0 and s.r1_gamma:
            found["r1"] = self._r1(images)
        for name in ("path_length", "r1"):
            if name in found:  # logged until the next one: after a stop all processes go on with the main one's
                processes.average(found[name])
        processes.average(self.generator.mapping.average)
        decay = half_life_decay(s.batch_size, step * s.batch_size, s.ema_kimg, s.ema_ramp or None)
        average_into(self.average, self.generator, decay)
        self.controller.adjust(step)
        if step % 64 == 0:  # looking makes a GPU wait
            self.gradients.check(step)
        found |= {"augment_p": self.logged.new_full((), self.controller.p), "repaired": self.gradients.repaired}
        for name, value in found.items():
            # a step that was repaired must not stop the training: the last sound value stands in the log
            place = self.columns.index(name)
            self.logged[place] = torch.where(value.isfinite(), value, self.logged[place])
        return list(self.logged.clone())

    def _train_generator(self) -> torch.Tensor:
        self._play(self.generator)
        loss = says_real(self._score(self._images(self.share)))
        self._update("generator", "generator", loss)
        return loss.detach()

    def _path_length(self) -> torch.Tensor:
        """Pull path lengths towards their running mean; half a batch is enough (section 3.2 of the CVPR paper)."""
        self._play(self.generator)
        ws = self._latents(max(1, self.share // 2))
        lengths = path_lengths(lambda ws: self.generator.synthesis(ws, "random"), ws)
        mean = self.path_mean.lerp(lengths.mean(), PATH_DECAY)
        penalty = (lengths - mean).square().mean()
        self._update("generator", "path length", self.settings.path_length * PATH_INTERVAL * penalty)
        mean = mean.detach().clone()
        processes.average(mean)
        self.path_mean = torch.where(mean.isfinite(), mean, self.path_mean)
        return penalty.detach().clone()

    def _train_discriminator(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._play(self.discriminator)
        with torch.no_grad():
            fakes = self._images(len(images))
        scores = self._score(images)
        loss = says_fake(self._score(fakes)) + says_real(scores)
        self._update("discriminator", "discriminator", loss)
        self.controller.observe(scores.detach())
        return loss.detach(), scores.detach().sign().mean()

    def _r1(self, images: torch.Tensor) -> torch.Tensor:
        self._play(self.discriminator)
        penalty = r1(lambda x: self.discriminator(self._seen(x)), images)
        self._update("discriminator", "R1", self.settings.r1_gamma / 2 * R1_INTERVAL * penalty)
        return penalty.detach().clone()

    # -- what the steps are made of -----------------------------------------------------------------------------------
    def _play(self, player: nn.Module) -> None:
        """Only the player's weights get gradients."""
        for network in (self.generator, self.discriminator):
            network.requires_grad_(network is player)

    def _latents(self, n: int) -> torch.Tensor:
        z = torch.randn(n, self.settings.latent_size, device=self.device)
        return self.generator.latents(z, self.settings.style_mixing, track=True)

    def _images(self, n: int) -> torch.Tensor:
        ws = self._latents(n)
        with self._autocast():
            return self.generator.synthesis(ws, "random")

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        return augment(images, self.controller.p, self.settings.augment, self.settings.low_pass)

    def _score(self, images: torch.Tensor) -> torch.Tensor:
        seen = self._seen(images)
        with self._autocast():
            return self.discriminator(seen)

    def _autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _update(self, player: str, kind: str, loss: torch.Tensor) -> None:
        optimizer = self.optimizers[player]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        fill_missing(parameters)
        processes.average_gradients(parameters)
        self.gradients.repair(kind, parameters)
        optimizer.step()

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Samples of the averaged generator, always from the same z: [2, SHOWN / 2, R, R]."""
        own = torch.Generator().manual_seed(derive_seed(self.job.seed, "snapshot"))
        z = torch.randn(SHOWN, self.settings.latent_size, generator=own).to(self.device)
        ws = self.average.mapping(z)[:, None].expand(-1, self.average.count, -1)
        return as_grid(self.average.synthesis(ws), 2)

    # -- state --------------------------------------------------------------------------------------------------------
    def learning_rate(self, step: int) -> float:
        """Constant."""
        return self.settings.learning_rate

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    def _values(self) -> dict[str, torch.Tensor]:
        return {
            "signs": self.controller.signs,
            "bad": self.gradients.counts,
            "path_mean": self.path_mean,
            "logged": self.logged,
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """Networks, Adam's moments, the controller and the running values."""
        tensors = named("value", self._values() | {"p": torch.tensor(self.controller.p, dtype=torch.float64)})
        for name, network in self._networks().items():
            tensors |= named(f"network.{name}", network.state_dict())
        for name, optimizer in self.optimizers.items():
            tensors |= named(f"optimizer.{name}", optimizer_tensors(optimizer))
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        for name, network in self._networks().items():
            network.load_state_dict(part(f"network.{name}", tensors))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, part(f"optimizer.{name}", tensors))
        saved = part("value", tensors)
        for name, value in self._values().items():
            value.copy_(saved[name])
        self.controller.p = saved["p"].item()

    def finish(self) -> None:
        """Fail where gradients broke at the very end; leave networks in evaluation mode, of 32 bits, without gradients."""
        self.gradients.check(self.steps)
        for network in self._networks().values():
            network.eval().requires_grad_(False)
            use_single(network)
