"""One step of regression by a U-Net, with or without a judge beside it."""

from __future__ import annotations

import torch
from torch.nn import functional

from xmodbench.learning.diffusion.networks import DenoisingNetwork
from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.game import frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import least_squares
from xmodbench.learning.gan.networks import PatchDiscriminator
from xmodbench.learning.paired.game import PairedGame

LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss}


class Regressor(DenoisingNetwork):
    """The diffusion methods' U-Net at one time for ever, whose embedding is no more than a learned shift."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sources [B,1,H,W] in [-1, 1] to estimates of the target, which may leave that range."""
        return super().forward(x, x.new_zeros(len(x)))


def network_of(settings) -> Regressor:
    """An untrained network."""
    return Regressor(settings.network, 1, settings.width, settings.dropout)


class RegressionGame(PairedGame):
    """A network that answers with the target slice and, where asked for, a judge of source and answer together."""

    losses = ("error", "adversarial", "judge")

    def __init__(self, settings, device: str):
        s = settings
        super().__init__(s, device, network_of(s))
        if s.adversarial:
            judge = PatchDiscriminator(s.discriminator_width, s.discriminator_layers, channels=2)
            self.add(judge=initialise(judge, "normal", 0.02))
            self.optimizers["judge"] = torch.optim.Adam(self.weights("judge"), lr=s.learning_rate, betas=(0.5, 0.999))

    def rate(self, player: str, step: int, per_epoch: int) -> float:
        """The judge's rate falls along with the network's."""
        s = self.settings
        scale = s.judge_rate / s.learning_rate if player == "judge" else 1.0
        return scale * super().rate(player, step, per_epoch)

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update the judge, if there is one, then the network."""
        network = self.networks["network"]
        with self.autocast():
            answer = network(batch.source)
        error = LOSSES[self.settings.loss](answer.float(), batch.target)
        adversarial = judged = error.new_zeros(())
        if self.settings.adversarial:
            judged = self._judged(batch, answer.detach())
            judge = self.networks["judge"]
            with self.autocast(), frozen(judge):
                adversarial = least_squares(judge(torch.cat([batch.source, answer], 1)), True)
        self.update("network", error + self.settings.adversarial * adversarial)
        return {"error": error, "adversarial": adversarial, "judge": judged}

    def _judged(self, batch: Batch, answer: torch.Tensor) -> torch.Tensor:
        """Update the judge; its loss."""
        judge = self.networks["judge"]
        with self.autocast():
            of_fake, of_real = (judge(torch.cat([batch.source, image], 1)) for image in (answer, batch.target))
            loss = 0.5 * (least_squares(of_fake, False) + least_squares(of_real, True))
        self.update("judge", loss)
        return loss
