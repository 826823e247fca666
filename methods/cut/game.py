"""One step of CUT and FastCUT (Park et al. 2020, Eq. 5; order of updates as in the released code)."""

from __future__ import annotations

import torch

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.contrast import Projections, layers_nce
from xmodbench.learning.gan.game import Game, frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import least_squares
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator


def generator_of(settings) -> ResnetGenerator:
    """An untrained generator."""
    return ResnetGenerator(settings.width, settings.blocks, antialias=True)


def nce_layers(blocks: int) -> list[int]:
    """Layers of the generator whose features are compared: the padded image, both downsampling convolutions, the first
    and the fifth residual block (or the last, where there are fewer)."""
    return sorted({0, 4, 8, 12, min(16, 11 + blocks)})


class CutGame(Game):
    """A generator, a judge of target slices, and the projections of the generator's features."""

    losses = ("adversarial", "nce", "nce_identity", "judge")

    def __init__(self, settings, device: str):
        super().__init__(settings, device)
        s = settings
        generator = generator_of(s)
        judge = PatchDiscriminator(s.discriminator_width, s.discriminator_layers, antialias=True)
        self.layers = nce_layers(s.blocks)
        with torch.no_grad():
            channels = [layer.shape[1] for layer in generator.features(torch.zeros(1, 1, 32, 32), self.layers)]
        networks = {"generator": generator, "judge": judge, "projections": Projections(channels, s.projection_width)}
        for network in networks.values():
            initialise(network, "xavier", s.init_gain)
        self.add(**networks)
        self.optimise("generator", "generator", "projections")
        self.optimise("judge", "judge")
        self.translator = generator

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update the judge, then generator and projections."""
        s, generator, judge = self.settings, self.networks["generator"], self.networks["judge"]
        flipped = s.flip_equivariance and bool(torch.rand(()) < 0.5)
        with self.autocast():
            fake = generator(batch.source.flip(3) if flipped else batch.source)
            of_fake, of_real = self.each(judge, fake.detach(), batch.target)
            judged = 0.5 * (least_squares(of_fake, False) + least_squares(of_real, True))
        self.update("judge", judged)
        with self.autocast():
            with frozen(judge):
                adversarial = least_squares(judge(fake), True)
            nce = self._nce(batch.source, fake, flipped)
            identity = nce.new_zeros(())
            if s.nce_identity:
                target = batch.target.flip(3) if flipped else batch.target
                identity = self._nce(batch.target, generator(target), flipped)
        contrast = 0.5 * (nce + identity) if s.nce_identity else nce
        self.update("generator", adversarial + s.nce * contrast)
        return {"adversarial": adversarial, "nce": nce, "nce_identity": identity, "judge": judged}

    def _nce(self, image: torch.Tensor, translation: torch.Tensor, flipped: bool) -> torch.Tensor:
        """Contrastive loss of an image and its translation, the mean over layers."""
        generator, projections = self.networks["generator"], self.networks["projections"]
        queries = generator.features(translation, self.layers)
        if flipped:
            queries = [layer.flip(3) for layer in queries]
        with torch.no_grad():
            keys = generator.features(image, self.layers)
        return layers_nce(projections, queries, keys, self.settings.patches, self.settings.temperature)
