"""One step of pix2pix (Isola et al. 2017, Eq. 1-4; order of updates as in the released code)."""

from __future__ import annotations

import torch
from torch.nn import functional

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.game import Game, frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import cross_entropy
from xmodbench.learning.gan.networks import PatchDiscriminator

from .unet import UnetGenerator


def generator_of(settings) -> UnetGenerator:
    """An untrained generator."""
    return UnetGenerator(settings.depth, settings.width, settings.norm)


class Pix2pixGame(Game):
    """A generator, and a judge of translations together with what they were made from."""

    losses = ("adversarial", "l1", "judge_real", "judge_fake")

    def __init__(self, settings, device: str):
        super().__init__(settings, device)
        s = settings
        generator = initialise(generator_of(s), "normal", s.init_gain)
        judge = PatchDiscriminator(s.discriminator_width, s.discriminator_layers, s.norm, channels=2)
        self.add(generator=generator, judge=initialise(judge, "normal", s.init_gain))
        self.optimise("generator", "generator")
        self.optimise("judge", "judge")
        self.translator = generator

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update the judge, then the generator."""
        generator, judge = self.networks["generator"], self.networks["judge"]
        with self.autocast():
            fake = generator(batch.source)
            judged_fake = cross_entropy(judge(torch.cat([batch.source, fake.detach()], 1)), False)
            judged_real = cross_entropy(judge(torch.cat([batch.source, batch.target], 1)), True)
        self.update("judge", 0.5 * (judged_fake + judged_real))
        with self.autocast():
            with frozen(judge):
                adversarial = cross_entropy(judge(torch.cat([batch.source, fake], 1)), True)
            l1 = functional.l1_loss(fake, batch.target)
        self.update("generator", adversarial + self.settings.l1 * l1)
        return {"adversarial": adversarial, "l1": l1, "judge_real": judged_real, "judge_fake": judged_fake}
