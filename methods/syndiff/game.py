"""One step of SynDiff (Özbey et al. 2023, Eq. 12-19; order of updates as in the released code)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from xmodbench.learning.denoising_gan.judge import TimeJudge
from xmodbench.learning.denoising_gan.ncsnpp import Ncsnpp
from xmodbench.learning.diffusion.schedules import Process, continuous_vp
from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.game import Game, frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import cross_entropy, r1
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator
from xmodbench.learning.gan.schedule import cosine_rate
from xmodbench.learning.image_noise import Noise

MODALITIES = ("target", "source")
RATES = 0.1, 20.0
"""Of the diffusion, first and last (Eq. 8-11)."""


class DiffusiveGenerator(Ncsnpp):
    """The image of a noisy one beside an image of the other modality, given its time and a latent vector.

    Args:
        settings: resolved `SyndiffSettings`, with ``attention_level``.
    """

    def __init__(self, settings):
        s = settings
        super().__init__(2, s.width, s.multipliers, s.blocks, s.attention_level, s.latent, s.latent_width)
        self.steps = s.sampling_steps

    def forward(self, x: torch.Tensor, other: torch.Tensor, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Noisy images and images of the other modality [B,1,H,W] in [-1, 1], steps [B], latents [B,latent] to images."""
        return super().forward(torch.cat([x, other], 1), t, z)


def process_of(steps: int) -> Process:
    """The diffusion in so many equal steps; its times 0, 1, ... are those of the images after one step, two, ..."""
    return continuous_vp(steps, *RATES)


@torch.no_grad()
def translated(network: DiffusiveGenerator, source: torch.Tensor, noise: Noise, count: int) -> torch.Tensor:
    """Translations of sources [B,1,H,W] in [-1, 1] in `count` steps, an evaluation each, from pure noise.

    Latents are the first values of a noise image of their own, so that they too are each slice's own.
    """
    process, x = process_of(count), noise()
    for number in reversed(range(count)):
        t = torch.full((len(x),), number, device=x.device)
        clean = network(x, source, t, latents(noise, network.latent))
        x = process.back(clean, x, t, noise())
    return x


def latents(noise: Noise, count: int) -> torch.Tensor:
    """Vectors [B,count] of N(0, 1)."""
    drawn = [noise().flatten(1)]
    while sum(part.shape[1] for part in drawn) < count:
        drawn.append(noise().flatten(1))
    return torch.cat(drawn, 1)[:, :count]


@dataclass(frozen=True)
class Noisy:
    """Images of a modality on their way to noise: ``x_t``, ``x_(t+1)``, steps t [B] and latent vectors for the way back."""

    x: torch.Tensor
    noisier: torch.Tensor
    t: torch.Tensor
    z: torch.Tensor


class SyndiffGame(Game):
    """For each modality a diffusive generator and its judge, a translator to it and a judge of that one's images.

    Diffusive generators denoise real images beside what the translators make of them; what they answer is put back to
    ``x_t`` by the posterior and judged there.
    """

    losses = ("adversarial", "adversarial_cycle", "cycle", "error", "judge", "judge_cycle", "penalty")

    def __init__(self, settings, device: str):
        super().__init__(settings, device)
        s, self.process = settings, process_of(settings.sampling_steps)
        for name in MODALITIES:
            translator = ResnetGenerator(s.translator_width, s.translator_blocks)
            patch = PatchDiscriminator(s.discriminator_width, s.discriminator_layers)
            self.add(
                **{
                    f"diffusive_{name}": DiffusiveGenerator(s),
                    f"translator_{name}": initialise(translator, "normal", s.init_gain),
                    f"judge_{name}": TimeJudge(s.time_width, s.time_layers, s.time_embedding),
                    f"patch_{name}": initialise(patch, "normal", s.init_gain),
                }
            )
        for player, kinds in {"generators": ("diffusive", "translator"), "judges": ("judge", "patch")}.items():
            self.optimise(player, *(f"{kind}_{name}" for kind in kinds for name in MODALITIES), beta2=s.beta2)
        self.translator = self.keep_average("diffusive_target")

    def rate(self, player: str, step: int, per_epoch: int) -> float:
        """Half a cosine for each player, from rates of their own."""
        s = self.settings
        return cosine_rate(s, step, per_epoch, s.last_rate, s.judge_rate if player == "judges" else s.learning_rate)

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update all judges, then all generators, at other steps and with other noise."""
        real = {"target": batch.target, "source": batch.source}
        judged = self._judges_step(real, penalised=self._is_penalised())
        losses = self._generators_step(real)
        return {**losses, **judged}

    def _is_penalised(self) -> bool:
        """Whether the judges' gradients are penalised in this step: the first and every so many; told by Adam's count."""
        state = self.optimizers["judges"].state
        done = int(next(iter(state.values()))["step"]) if state else 0
        return bool(self.settings.r1) and done % self.settings.r1_every == 0

    # -- judges -----------------------------------------------------------------------------------------------------
    def _judges_step(self, real: dict[str, torch.Tensor], penalised: bool) -> dict[str, torch.Tensor]:
        losses = {name: real["target"].new_zeros(()) for name in ("judge", "judge_cycle", "penalty")}
        for name, other in (MODALITIES, MODALITIES[::-1]):
            noisy = self._noised(real[name])
            with torch.no_grad(), self.autocast():
                partner = self.networks[f"translator_{other}"](real[name])  # of this image in the other modality
                fake = self._denoised(name, noisy, partner)
                translation = self.networks[f"translator_{name}"](real[other])
            judge, patch = self.networks[f"judge_{name}"], self.networks[f"patch_{name}"]
            if penalised:
                losses["penalty"] = losses["penalty"] + self.settings.r1 / 2 * r1(
                    partial(judge, t=noisy.t, noisier=noisy.noisier), noisy.x
                )
            with self.autocast():
                scores = judge(noisy.x, noisy.t, noisy.noisier), judge(fake, noisy.t, noisy.noisier)
                losses["judge"] = losses["judge"] + _told_apart(*scores)
                losses["judge_cycle"] = losses["judge_cycle"] + _told_apart(patch(real[name]), patch(translation))
        self.update("judges", losses["judge"] + losses["judge_cycle"] + losses["penalty"])
        return losses

    # -- generators -------------------------------------------------------------------------------------------------
    def _generators_step(self, real: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The diffusive losses reach the translators too: what these made is not detached."""
        names = ("adversarial", "adversarial_cycle", "cycle", "error")
        losses = {name: real["target"].new_zeros(()) for name in names}
        judges: list[nn.Module] = [
            self.networks[f"{kind}_{name}"] for kind in ("judge", "patch") for name in MODALITIES
        ]
        with frozen(*judges), self.autocast():
            for name, other in (MODALITIES, MODALITIES[::-1]):
                noisy = self._noised(real[name])
                partner = self.networks[f"translator_{other}"](real[name])
                again = self.networks[f"translator_{name}"](partner)
                clean = self.networks[f"diffusive_{name}"](noisy.noisier, partner, noisy.t, noisy.z)
                fake = self.process.back(clean, noisy.noisier, noisy.t, _normal(clean))
                of_fake = self.networks[f"judge_{name}"](fake, noisy.t, noisy.noisier)
                found = (
                    cross_entropy(of_fake, True),
                    cross_entropy(self.networks[f"patch_{other}"](partner), True),
                    functional.l1_loss(again, real[name]),
                    functional.l1_loss(clean, real[name]),
                )
                for key, value in zip(names, found, strict=True):
                    losses[key] = losses[key] + value
        s = self.settings
        weighted = s.cycle * losses["cycle"] + s.l1 * losses["error"]
        self.update("generators", losses["adversarial"] + losses["adversarial_cycle"] + weighted)
        return losses

    def _noised(self, images: torch.Tensor) -> Noisy:
        t = torch.randint(self.process.length, (len(images),)).to(images.device)
        eps, z = _normal(images), torch.randn(len(images), self.settings.latent).to(images.device)
        return Noisy(*self.process.pair(images, t, eps, _normal(images)), t, z)

    def _denoised(self, name: str, noisy: Noisy, partner: torch.Tensor) -> torch.Tensor:
        clean = self.networks[f"diffusive_{name}"](noisy.noisier, partner, noisy.t, noisy.z)
        return self.process.back(clean, noisy.noisier, noisy.t, _normal(clean))


def _told_apart(of_real: torch.Tensor, of_fake: torch.Tensor) -> torch.Tensor:
    return cross_entropy(of_real, True) + cross_entropy(of_fake, False)


def _normal(like: torch.Tensor) -> torch.Tensor:
    """N(0, 1) of the same shape; drawn on the CPU, so that a step is the same on every device."""
    return torch.randn(like.shape).to(like.device)
