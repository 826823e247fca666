"""One step of the unpaired neural Schrödinger bridge (Kim et al. 2024, Eq. 12-15; order of updates as in the code)."""

from __future__ import annotations

import torch

from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.contrast import Projections, layers_nce
from xmodbench.learning.gan.game import Game, frozen
from xmodbench.learning.gan.layers import initialise
from xmodbench.learning.gan.losses import least_squares
from xmodbench.learning.gan.pool import ImagePool
from xmodbench.learning.image_noise import Noise

from .bridge import latents, seen_from, walked
from .networks import BridgeGenerator, TimedJudge


def generator_of(settings) -> BridgeGenerator:
    """An untrained generator."""
    s = settings
    return BridgeGenerator(s.width, s.blocks, s.time_conditioned, s.steps, s.tau)


def translated(network: BridgeGenerator, source: torch.Tensor, evaluations: int, noise: Noise) -> torch.Tensor:
    """Translations of sources [B,1,H,W] in [-1, 1]: the end of the bridge, seen from the last of so many times."""
    x = walked(network, source, evaluations - 1, noise)
    return seen_from(network, x, evaluations - 1, noise)


class UnsbGame(Game):
    """A generator, a judge of its images, a network that measures their entropy, and the projections of its features."""

    losses = ("adversarial", "bridge", "nce", "nce_identity", "judge", "energy")

    def __init__(self, settings, device: str):
        super().__init__(settings, device)
        s = settings
        generator = generator_of(s)
        # of the padded image, both downsampling convolutions, the first and the fifth block (or the last)
        self.layers = sorted({0, 4, 8, len(generator.encoder), len(generator.encoder) + min(s.blocks, 5) - 1})
        one = torch.zeros(1, dtype=torch.long)
        with torch.no_grad():
            features = generator.features(torch.zeros(1, 1, 32, 32), one, torch.zeros(1, generator.latent), self.layers)
        networks = {
            "generator": generator,
            "judge": TimedJudge(s.discriminator_width, s.discriminator_layers),
            "energy": TimedJudge(s.discriminator_width, s.discriminator_layers, channels=4),
            "projections": Projections([layer.shape[1] for layer in features], s.projection_width),
        }
        for network in networks.values():
            initialise(network, "xavier", s.init_gain)
        if s.time_conditioned:
            generator.open_styles()
        self.add(**networks)
        self.optimise("generator", "generator", "projections")
        self.optimise("judge", "judge")
        self.optimise("energy", "energy")
        self.pools["before"] = ImagePool(0)  # holds the source slices of the step before; saved with the state
        self.translator = generator

    def step(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Update the judge, the energy, then generator and projections, all at one time of the bridge."""
        s, judge, energy = self.settings, self.networks["judge"], self.networks["energy"]
        number = int(torch.randint(s.steps, ()))
        t = torch.full((len(batch.source),), number, device=self.device)
        others = self._sources_before(batch.source)
        with self.autocast():  # of its own: weights that are cast here, without gradients, must not be used again below
            x, x_other, x_same = (self._walked(images, number) for images in (batch.source, others, batch.target))
        with self.autocast():
            fake, fake_other, same = (self._seen_from(images, number) for images in (x, x_other, x_same))
            judged = 0.5 * (least_squares(judge(fake.detach(), t), False) + least_squares(judge(batch.target, t), True))
        self.update("judge", judged)
        with self.autocast():
            own, mixed = self._energies(x, fake.detach(), x_other, fake_other.detach(), t)
        energy_loss = -own + mixed + mixed**2
        self.update("energy", energy_loss)
        with self.autocast():
            with frozen(judge, energy):
                adversarial = least_squares(judge(fake, t), True)
                own, mixed = self._energies(x, fake, x_other, fake_other, t)
            nce, identity = self._nce(batch.source, fake), self._nce(batch.target, same)
        left = (s.steps - number) / s.steps
        bridge = s.tau * ((x - fake) ** 2).mean() - left * s.tau * (own - mixed)
        self.update("generator", adversarial + s.bridge * bridge + s.nce * 0.5 * (nce + identity))
        found = (adversarial, bridge, nce, identity, judged, energy_loss)
        return {name: loss.detach() for name, loss in zip(self.losses, found, strict=True)}

    def _sources_before(self, source: torch.Tensor) -> torch.Tensor:
        """As many source slices of the step before, which are independent of these; of the first step its own."""
        kept = self.pools["before"].images or [*source]
        found = torch.stack([kept[index % len(kept)] for index in range(len(source))])
        self.pools["before"].images = [image.clone() for image in source]
        return found

    def _energies(
        self, x: torch.Tensor, end: torch.Tensor, x_other: torch.Tensor, end_other: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of pairs of a place and an end: their mean beside the same pairs, their log-sum-exp beside others."""
        energy = self.networks["energy"]
        pair, other = torch.cat([x, end], 1), torch.cat([x_other, end_other], 1)
        own, mixed = energy(torch.cat([pair, pair], 1), t).float(), energy(torch.cat([pair, other], 1), t).float()
        return own.mean(), mixed.flatten().logsumexp(0)

    def _nce(self, image: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
        """Contrastive loss of an image and its translation at the first time, with one latent vector; mean over layers."""
        generator, projections = self.networks["generator"], self.networks["projections"]
        t = torch.zeros(len(image), dtype=torch.long, device=self.device)
        z = latents(self._noise(image), generator.latent, image)
        queries = generator.features(translation, t, z, self.layers)
        with torch.no_grad():
            keys = generator.features(image, t, z, self.layers)
        return layers_nce(projections, queries, keys, self.settings.patches, self.settings.temperature)

    @torch.no_grad()
    def _walked(self, images: torch.Tensor, number: int) -> torch.Tensor:
        return walked(self.networks["generator"], images, number, self._noise(images))

    def _seen_from(self, x: torch.Tensor, number: int) -> torch.Tensor:
        return seen_from(self.networks["generator"], x, number, self._noise(x))

    @staticmethod
    def _noise(like: torch.Tensor) -> Noise:
        """N(0, 1) of the same shape at each call; drawn on the CPU, so that a step is the same on every device."""
        return lambda: torch.randn(like.shape).to(like.device)
