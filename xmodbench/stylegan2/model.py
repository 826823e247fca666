"""A trained model: its folder, its training in two phases, and translation with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.plugins import Run
from xmodbench.seeding import derive_seed
from xmodbench.training.log import LossLog
from xmodbench.training.loop import train

from .batches import from_square, nearest_resolution, to_square
from .discriminator import Discriminator
from .encoder import Encoder
from .encoder_training import EncoderTraining
from .generator import Generator
from .inversion import Inverter
from .perceptual import Features, features_of, read_vgg16
from .settings import TRANSLATION_SETTINGS, InversionSettings, StyleganSettings
from .training import GanTraining

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
MARKS = (0, 100, 500, 1000, 2000, 5000)


@dataclass
class Model:
    """The averaged generator with its noise maps, the encoder and the features that images are compared by.

    Attributes:
        settings: resolved, ``perceptual_weight`` included.
        logs: losses of the GAN ("") and of the encoder ("encoder"), by folder.
    """

    settings: StyleganSettings
    generator: Generator
    encoder: Encoder
    features: Features
    logs: dict[str, LossLog] = field(default_factory=dict)

    @classmethod
    def new(cls, settings: StyleganSettings) -> Model:
        """Untrained networks for resolved settings."""
        features = features_of(settings, Discriminator(settings))
        return cls(settings, Generator(settings), Encoder(settings), features)

    def networks(self) -> dict[str, nn.Module]:
        """All that is kept, by name."""
        return {"generator": self.generator, "encoder": self.encoder, "features": self.features}

    def save(self, directory: Path) -> None:
        """Write weights, settings and, after training, the losses of both phases."""
        tensors = {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, network in self.networks().items()
            for key, value in network.state_dict().items()
        }
        save_file(tensors, directory / WEIGHTS)
        write_json(directory / DESCRIPTION, {"settings": self.settings.model_dump(mode="json")})
        for folder, log in self.logs.items():
            (directory / folder).mkdir(exist_ok=True)
            log.save(directory / folder)

    @classmethod
    def load(cls, directory: Path, wanted: InversionSettings, run: Run) -> Model:
        """Read what `save` wrote; options of the inversion given in `wanted` replace the model's.

        Raises:
            UserError: a file is missing, damaged, or belongs to another network.
        """
        _use_threads(run)
        stored = read_json(directory / DESCRIPTION)["settings"]
        given = {name: getattr(wanted, name) for name in TRANSLATION_SETTINGS}
        stored |= {name: value for name, value in given.items() if value is not None}
        model = cls.new(StyleganSettings(**stored).resolved(stored["resolution"]))
        try:
            tensors = load_file(directory / WEIGHTS)
            for name, network in model.networks().items():
                own = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
                network.load_state_dict(own)
        except Exception as error:  # safetensors, torch and the file system each raise their own
            problem = f"weights cannot be read ({str(error).splitlines()[0]})"
            raise UserError(problem, directory / WEIGHTS, "train the model again") from None
        for network in model.networks().values():
            network.to(run.device).eval().requires_grad_(False)
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
        inverter = Inverter(self.generator, self.encoder, self.features, float(s.perceptual_weight or 0), s)
        parts: dict[str, list[np.ndarray]] = {"": [], **{f"after_{step}": [] for step in self.kept_steps()}}
        for start in starts:
            x = torch.from_numpy(np.array(source[start : start + size], dtype=np.float32)).to(run.device)
            image, found = inverter.invert(to_square(x, s.resolution), self.kept_steps(), lambda: next(ticks))
            for name, square in {"": image, **{f"after_{step}": value for step, value in found.items()}}.items():
                parts[name].append(from_square(square, height, width).cpu().numpy())
        next(ticks, None)  # closes the bar
        images = {name: np.concatenate(part) for name, part in parts.items()}
        return images.pop(""), images


def fit(config: StyleganSettings, images: np.ndarray, run: Run) -> Model:
    """Train the GAN, then the encoder, on target slices [N,1,H,W]: one job that can be killed and resumed in either.

    Raises:
        UserError: gradients or losses are not finite, or the VGG16 weights cannot be used.
        SystemExit: SIGTERM came; the state has been saved.
    """
    _use_threads(run)
    s = config.resolved(nearest_resolution(*images.shape[2:]))
    torch.manual_seed(derive_seed(run.seed, "weights"))
    gan = GanTraining(s, images, run)
    features = features_of(s, gan.discriminator)
    if s.perceptual == "vgg16":  # early, so that a bad file costs no training
        run.facts["vgg16_sha256"] = read_vgg16(features, Path(s.vgg16_file), s.vgg16_sha256)
    run.progress.say(f"phase 1 of 2: GAN at {s.resolution} px, {gan.steps} steps of {s.batch_size} slices")
    logs = {"": train(gan, run)}
    if s.perceptual == "disc":
        features = features_of(s, gan.discriminator)  # before the encoder's training changes it
    features.to(run.device).eval().requires_grad_(False)
    torch.manual_seed(derive_seed(run.seed, "encoder weights"))
    second = EncoderTraining(s, gan.average, gan.discriminator, features, images, run)
    run.progress.say(f"phase 2 of 2: encoder, {second.steps} steps of {s.encoder_batch} slices")
    logs["encoder"] = train(second, run)
    settings = s.model_copy(update={"perceptual_weight": second.weight.item()})
    _note(gan, second, logs, run)
    return Model(settings, gan.average, second.encoder, features, logs)


def _note(gan: GanTraining, second: EncoderTraining, logs: dict[str, LossLog], run: Run) -> None:
    networks = {"generator": gan.generator, "discriminator": gan.discriminator, "encoder": second.encoder}
    run.facts.update(
        resolution=gan.settings.resolution,
        parameters={name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
        augment_p=gan.controller.p.item(),
        repaired_gradients=int(gan.gradients.counts[0].item()),
        perceptual_weight=second.weight.item(),
        final_losses={name or "gan": log.last() for name, log in logs.items() if log.rows},
    )


def _use_threads(run: Run) -> None:
    if run.device == "cpu":
        torch.set_num_threads(run.threads)
