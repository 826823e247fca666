"""One step of CycleGAN (Zhu et al. 2017, Eq. 1-3 and section 5.2; order of updates as in the released code)."""

from __future__ import annotations

import torch
from torch.nn import functional

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.game import Game, frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import least_squares
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator
from xmodbench.learning.gan.pool import ImagePool


def generator_of(settings) -> ResnetGenerator:
    """An untrained generator."""
    return ResnetGenerator(settings.width, settings.blocks)


class CycleGame(Game):
    """Generators ``to_target`` and ``to_source``, and a judge of the images of each modality."""

    losses = ("adversarial", "cycle", "identity", "judge_target", "judge_source")

    def __init__(self, settings, device: str):
        super().__init__(settings, device)
        generators = {name: generator_of(settings) for name in ("to_target", "to_source")}
        judges = {
            name: PatchDiscriminator(settings.discriminator_width, settings.discriminator_layers)
            for name in ("judge_target", "judge_source")
        }
        for network in (*generators.values(), *judges.values()):
            initialise(network, "normal", settings.init_gain)
        self.add(**generators, **judges)
        self.optimise("generators", *generators)
        self.optimise("judges", *judges)
        self.pools = {"target": ImagePool(settings.pool_size), "source": ImagePool(settings.pool_size)}
        self.translator = self.networks["to_target"]

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update both generators together, then both judges."""
        with self.autocast():
            same = bool(self.settings.identity)
            to_target = self.each(self.networks["to_target"], batch.source, *([batch.target] if same else []))
            to_source = self.each(self.networks["to_source"], batch.target, *([batch.source] if same else []))
            fake_target, fake_source = to_target[0], to_source[0]
            losses = self._generator_losses(batch, to_target, to_source)
        s = self.settings
        weighted = s.cycle * losses["cycle"] + s.cycle * s.identity * losses["identity"]
        self.update("generators", losses["adversarial"] + weighted)
        with self.autocast():
            losses["judge_target"] = self._judged("target", batch.target, fake_target, seed)
            losses["judge_source"] = self._judged("source", batch.source, fake_source, seed)
        self.update("judges", losses["judge_target"] + losses["judge_source"])
        return losses

    def _generator_losses(self, batch: Batch, made_target, made_source) -> dict[str, torch.Tensor]:
        """Losses of what both generators made: translations and, for the identity loss, of their own modality's slices."""
        to_target, to_source = self.networks["to_target"], self.networks["to_source"]
        (fake_target, *same_target), (fake_source, *same_source) = made_target, made_source
        judges = self.networks["judge_target"], self.networks["judge_source"]
        with frozen(*judges):
            scores = [judge(fake) for judge, fake in zip(judges, (fake_target, fake_source), strict=True)]
        cycle = functional.l1_loss(to_source(fake_target), batch.source) + functional.l1_loss(
            to_target(fake_source), batch.target
        )
        identity = cycle.new_zeros(())
        for one, other in zip(same_target, same_source, strict=True):
            identity = functional.l1_loss(one, batch.target) + functional.l1_loss(other, batch.source)
        adversarial = least_squares(scores[0], True) + least_squares(scores[1], True)
        return {"adversarial": adversarial, "cycle": cycle, "identity": identity}

    def _judged(self, modality: str, real: torch.Tensor, fake: torch.Tensor, seed: int) -> torch.Tensor:
        judge = self.networks[f"judge_{modality}"]
        of_real, of_fake = self.each(judge, real, self.shown(modality, fake, seed))
        return 0.5 * (least_squares(of_real, True) + least_squares(of_fake, False))
