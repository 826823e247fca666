"""Domain-regularised inversion: the latent vectors whose image is like a given one (Zhu et al. 2020, section 2.2, Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch

from xmodbench.learning.cuda_graph import replayable
from xmodbench.plugins import Run

from .encoder import Encoder
from .generator import Generator
from .perceptual import Features

BETAS = (0.9, 0.999)


@dataclass
class Inverter:
    """Frozen networks, in evaluation mode, and how they are used.

    Attributes:
        generator, encoder: of the target modality.
        features: what images are compared by beside grey levels.
        weight: of the difference of features.
        settings: with `InversionSettings` filled in.
        run: the job; on a GPU a step is replayed as a CUDA graph. None: each is launched by itself.
    """

    generator: Generator
    encoder: Encoder
    features: Features
    weight: float
    settings: Any
    run: Run | None = None

    def invert(
        self, images: torch.Tensor, kept: Collection[int] = (), after_step: Callable[[], object] = lambda: None
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """Start from the encoder's latent vectors and improve them for ``inversion_steps``.

        The losses of the images are summed, so that what becomes of one does not depend on the others but for rounding.

        Args:
            images: ``[N, 1, R, R]`` in [-1, 1], of any modality.
            kept: numbers of steps whose images are returned too; 0 is the encoder's own.
            after_step: called after each step.

        Returns:
            The images of the last latent vectors, ``[N, 1, R, R]`` in about [-1, 1], and those of the steps in `kept`.
        """
        s = self.settings
        with torch.no_grad():
            w = self.encoder(images)
            if s.latent == "w":
                w = w.mean(1, keepdim=True)
            wanted = self.features.describe(images)
        w = w.clone().requires_grad_(True)
        improve, found = self._improvement(w, images, wanted), {}
        for step in range(s.inversion_steps):
            image = improve()
            if step in kept:
                found[step] = image.clone()
            after_step()
        with torch.no_grad():
            image = self.image_of(w.detach())
        if s.inversion_steps in kept:
            found[s.inversion_steps] = image
        return image, found

    def _improvement(self, w: torch.Tensor, images: torch.Tensor, wanted) -> Callable[[], torch.Tensor]:
        """A step of Adam that changes `w` in its place and returns its image before; this lies in one place as well."""
        optimizer = torch.optim.Adam([w], lr=self.settings.inversion_rate, betas=BETAS, capturable=w.is_cuda)

        def improve() -> torch.Tensor:
            image = self.image_of(w)
            (w.grad,) = torch.autograd.grad(self._losses(w, image, images, wanted).sum(), w)
            optimizer.step()
            return image.detach()

        if self.run is None or not self.run.device.startswith("cuda"):
            return improve
        # moments, made by a step that goes nowhere: a graph's places must be there before it
        w.grad = torch.zeros_like(w)
        optimizer.step()
        moments = optimizer.state[w]
        moments["step"].zero_()
        return replayable(improve, self.run, "inversion step", [w, *moments.values()])

    def image_of(self, w: torch.Tensor) -> torch.Tensor:
        """Images of latent vectors [N, 1 or latent_count, latent_size], with the generator's own noise maps."""
        return self.generator.synthesis(w.expand(-1, self.generator.count, -1), "fixed")

    def _losses(self, w: torch.Tensor, image: torch.Tensor, images: torch.Tensor, wanted) -> torch.Tensor:
        """Loss [N] of each image."""
        losses = (image - images).square().mean((1, 2, 3))
        if self.weight:
            described = self.features.describe(image)
            losses = losses + self.weight * self.features.distance(described, wanted, len(images))
        if self.settings.lambda_dom:
            own = self.encoder(image)
            losses = losses + self.settings.lambda_dom * (w - own).square().mean((1, 2))
        return losses
