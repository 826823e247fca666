"""Training of the domain-guided encoder on the slices the GAN was trained on (Zhu et al. 2020, section 2.1, Eq. 2-3)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from xmodbench.learning.gan.losses import r1
from xmodbench.learning.training.loop import Training
from xmodbench.learning.training.state import fingerprint, named, optimizer_tensors, part, restore_optimizer
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed

from .batches import Batches
from .discriminator import Discriminator
from .encoder import Encoder
from .generator import Generator
from .losses import says_fake, says_real
from .perceptual import VGG_WEIGHT, Features
from .settings import TRAINING_SETTINGS
from .training import SHOWN, as_grid

BETAS, FEATURE_SHARE = (0.9, 0.99), 0.75


class EncoderTraining(Training):
    """Encoder against a discriminator that goes on learning; the generator stays as it is.

    As in the authors' code the discriminator judges what the encoder makes once it has been updated, so that the encoder's
    normalisations see each batch twice.

    Args:
        settings: resolved.
        generator: trained, with its noise maps.
        discriminator: the GAN's; it is trained on.
        features: what images are compared by beside grey levels.
        images: float32 ``[N, 1, H, W]`` in [0, 1].
        run: seed and device; torch's global generator must have been seeded for the weights.

    Attributes:
        weight: of the difference of features, a scalar tensor.
    """

    name = "stylegan2_encoder"
    rate_option = "encoder_rate"
    columns = ("pixels", "features", "adversarial", "discriminator", "r1")

    def __init__(
        self,
        settings,
        generator: Generator,
        discriminator: Discriminator,
        features: Features,
        images: np.ndarray,
        run: Run,
    ):
        s = self.settings = settings
        self.job, self.device, self.steps = run, run.device, s.encoder_iterations
        # the generator too: on a GPU the same settings never give the same one again
        first = [float(parameter.double().sum()) for parameter in generator.parameters()]
        self.fingerprint = fingerprint(s, [images], run.seed, first, fields=TRAINING_SETTINGS)
        seed = derive_seed(run.seed, "encoder")
        self.batches = Batches(images, s.resolution, s.encoder_batch, s.encoder_flip, seed)
        self.generator, self.features, self.discriminator = generator, features, discriminator.train()
        self.encoder = Encoder(s).to(run.device)
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=s.encoder_rate, betas=BETAS)
            for name, network in self._networks().items()
        }
        self.weight = self._feature_weight()

    @torch.no_grad()
    def _feature_weight(self) -> torch.Tensor:
        s = self.settings
        if s.perceptual == "none":
            return torch.zeros((), device=self.device)
        if s.perceptual_weight is not None or s.perceptual == "vgg16":
            weight = VGG_WEIGHT if s.perceptual_weight is None else s.perceptual_weight
            return torch.tensor(weight, device=self.device)
        images = self.batches.at(0, self.device)
        # a copy, since even this look would move the statistics of its normalisation
        found = self.generator.synthesis(copy.deepcopy(self.encoder)(images))
        pixels, features = (found - images).square().mean(), self._difference(found, images)
        return FEATURE_SHARE * pixels / features.clamp(min=1e-8)

    def _difference(self, found: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        features = self.features
        with torch.no_grad():
            wanted = features.describe(features.as_trained_with(images))
        described = features.describe(features.as_trained_with(found))
        return features.distance(described, wanted, len(images)).to(images).mean()

    def step(self, step: int) -> Sequence[torch.Tensor]:
        """Update the encoder, then the discriminator, with the same slices and the new encoder's images."""
        s = self.settings
        torch.manual_seed(derive_seed(self.job.seed, "encoder", step))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
        images = self.batches.at(step, self.device)
        self.discriminator.requires_grad_(False)
        with self._autocast():
            found = self.generator.synthesis(self.encoder(images))
            features = self._difference(found, images)
            adversarial = says_real(self.discriminator(found))
        pixels = (found - images).square().mean()
        self._update("encoder", pixels + self.weight * features + s.encoder_adversarial * adversarial)
        self.discriminator.requires_grad_(True)
        with self._autocast():
            with torch.no_grad():
                found = self.generator.synthesis(self.encoder(images))
            judged = says_fake(self.discriminator(found)) + says_real(self.discriminator(images))
        penalty = r1(self.discriminator, images)
        self._update("discriminator", judged + s.encoder_r1_gamma / 2 * penalty)
        return [pixels, features, adversarial, judged, penalty]

    def _update(self, player: str, loss: torch.Tensor) -> None:
        self.optimizers[player].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[player].step()

    def _autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bf16")

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Training slices above what the encoder makes of them: [2, at most SHOWN / 2, R, R]."""
        images = self.batches.at(0, self.device)[: SHOWN // 2]
        self.encoder.eval()
        found = self.generator.synthesis(self.encoder(images))
        self.encoder.train()
        return as_grid(torch.cat([images, found]), 2)

    # -- state --------------------------------------------------------------------------------------------------------
    def learning_rate(self, step: int) -> float:
        """Falls smoothly, each step by the same factor, to ``encoder_rate`` times ``encoder_decay`` in the end.

        The authors ask TensorFlow for 0.8 per quarter of the training, but both of their updates advance the one counter of
        steps. Meant here is what they ran: it ends at 0.8^8 = 0.168, not at 0.8^4 = 0.41.
        """
        return self.settings.encoder_rate * self.settings.encoder_decay ** (step / max(1, self.steps))

    def _networks(self):
        return {"encoder": self.encoder, "discriminator": self.discriminator}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Networks, Adam's moments and the weight of features."""
        tensors = {"weight": self.weight}
        for name, network in self._networks().items():
            tensors |= named(f"network.{name}", network.state_dict())
            tensors |= named(f"optimizer.{name}", optimizer_tensors(self.optimizers[name]))
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to what `tensors` returned."""
        self.weight.copy_(tensors["weight"])
        for name, network in self._networks().items():
            network.load_state_dict(part(f"network.{name}", tensors))
            restore_optimizer(self.optimizers[name], part(f"optimizer.{name}", tensors))

    def finish(self) -> None:
        """Networks in evaluation mode, without gradients."""
        for network in self._networks().values():
            network.eval().requires_grad_(False)
