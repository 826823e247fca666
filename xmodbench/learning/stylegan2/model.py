"""A trained model: its folder, the training of its encoder, and translation with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.loop import train
from xmodbench.learning.training.weights import DESCRIPTION
from xmodbench.plugins import Run
from xmodbench.plugins.settings import validated
from xmodbench.seeding import derive_seed

from .batches import from_square, to_square
from .discriminator import Discriminator
from .encoder import Encoder
from .encoder_training import EncoderTraining
from .gan import Gan
from .generator import Generator
from .inversion import Inverter
from .perceptual import Features, VggFeatures, features_of, read_vgg16
from .settings import TRANSLATION_SETTINGS, InversionSettings, StyleganSettings
from .weights import load_networks, save_networks, stored_settings

MARKS = (0, 100, 500, 1000, 2000, 5000)


@dataclass
class Model:
    """The averaged generator with its noise maps, the encoder and the features that images are compared by.

    Attributes:
        settings: resolved `StyleganSettings`, ``perceptual_weight`` included.
        logs: losses of the GAN ("") and of the encoder ("encoder"), by folder.
    """

    settings: Any
    generator: Generator
    encoder: Encoder
    features: Features
    logs: dict[str, LossLog] = field(default_factory=dict)

    @classmethod
    def new(cls, settings: Any) -> Model:
        """Untrained networks for resolved settings."""
        features = features_of(settings, Discriminator(settings))
        return cls(settings, Generator(settings), Encoder(settings), features)

    def networks(self) -> dict[str, nn.Module]:
        """All that is kept, by name."""
        return {"generator": self.generator, "encoder": self.encoder, "features": self.features}

    def save(self, directory: Path) -> None:
        """Write weights, settings and, after training, the losses of both phases."""
        save_networks(directory, self.networks(), self.settings)
        for folder, log in self.logs.items():
            (directory / folder).mkdir(exist_ok=True)
            log.save(directory / folder)

    @classmethod
    def load(cls, directory: Path, wanted: InversionSettings, run: Run) -> Model:
        """Read what `save` wrote; options of the inversion given in `wanted` replace the model's.

        Raises:
            UserError: a file is missing, damaged, or belongs to another network.
        """
        run.use_threads()
        stored = stored_settings(directory)
        given = {name: getattr(wanted, name) for name in TRANSLATION_SETTINGS}
        stored |= {name: value for name, value in given.items() if value is not None}
        settings = validated(StyleganSettings, stored, str(directory / DESCRIPTION), "settings")
        model = cls.new(settings.resolved(settings.resolution))
        load_networks(directory, model.networks(), run.device)
        return model

    def kept_steps(self) -> tuple[int, ...]:
        """Steps of the inversion whose images are kept: the usual ones and the last."""
        last = self.settings.inversion_steps
        return (*(step for step in MARKS if step < last), last)

    def translate(self, source: np.ndarray, run: Run) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Invert images; there is no randomness in it.

        On a CPU image by image: convolutions round differently in batches of different size, and a result must not depend
        on how many images were asked for at once.

        Args:
            source: ``[N, 1, H, W]`` in [0, 1].
            run: device and progress.

        Returns:
            Translations ``[N, 1, H, W]`` in [0, 1], and those after some steps under names such as ``after_100``.
        """
        s, (height, width) = self.settings, source.shape[2:]
        size = 1 if run.device == "cpu" else s.inversion_batch
        starts = range(0, len(source), size)
        total = s.inversion_steps * len(starts)
        ticks = iter(run.progress.track(range(total), "invert", total=total))
        inverter = Inverter(self.generator, self.encoder, self.features, float(s.perceptual_weight or 0), s, run)
        parts: dict[str, list[np.ndarray]] = {"": [], **{f"after_{step}": [] for step in self.kept_steps()}}
        for start in starts:
            x = torch.from_numpy(np.array(source[start : start + size], dtype=np.float32)).to(run.device)
            image, found = inverter.invert(to_square(x, s.resolution), self.kept_steps(), lambda: next(ticks))
            for name, square in {"": image, **{f"after_{step}": value for step, value in found.items()}}.items():
                parts[name].append(from_square(square, height, width).cpu().numpy())
        next(ticks, None)  # closes the bar
        images = {name: np.concatenate(part) for name, part in parts.items()}
        return images.pop(""), images


def fit(gan: Gan, images: np.ndarray, run: Run) -> Model:
    """Train an encoder for a GAN on the target slices [N,1,H,W] in [0, 1] it has learned; may be killed and resumed.

    The discriminator of `gan` learns on.

    Raises:
        UserError: losses are not finite, or the VGG16 weights cannot be used.
        SystemExit: SIGTERM came; the state has been saved.
    """
    run.use_threads()
    s = gan.settings
    features = features_of(s, gan.discriminator)  # a copy, before the encoder's training changes it
    if isinstance(features, VggFeatures):
        run.facts["vgg16_sha256"] = read_vgg16(features, Path(s.vgg16_file), s.vgg16_sha256)
    features.to(run.device).eval().requires_grad_(False)
    torch.manual_seed(derive_seed(run.seed, "encoder weights"))
    training = EncoderTraining(s, gan.generator, gan.discriminator, features, images, run)
    run.progress.say(f"encoder, {training.steps} steps of {s.encoder_batch} slices")
    log = train(training, run)
    parameters = sum(p.numel() for p in training.encoder.parameters())
    run.facts.update(
        parameters={**run.facts.get("parameters", {}), "encoder": parameters},
        perceptual_weight=training.weight.item(),
        final_losses={**run.facts.get("final_losses", {}), **({"encoder": log.last()} if log.rows else {})},
    )
    settings = s.model_copy(update={"perceptual_weight": training.weight.item()})
    return Model(settings, gan.generator, training.encoder, features, {"": gan.log, "encoder": log})
