"""What the diffusion plugins have in common: everything but the condition and where sampling starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xmodbench.learning.training.compiling import compiled
from xmodbench.learning.training.log import LossLog
from xmodbench.plugins import Run
from xmodbench.seeding import ImageGenerator, derive_seed

from .blur import LARGEST, blurred
from .evaluations import Evaluations
from .model import DiffusionModel
from .samplers import Noise, image_noise
from .snapshot import Translate
from .training import Channels, train


def fit(
    settings,
    inputs: int,
    images: np.ndarray,
    channels_of: Callable[[DiffusionModel], Channels],
    run: Run,
    translate: Translate,
) -> tuple[DiffusionModel, LossLog]:
    """Make and train a model on target slices [N, 1, H, W]; notes its size in the job's record.

    `translate` is how the method translates with a model, for snapshots.
    """
    run.use_threads()
    torch.manual_seed(derive_seed(run.seed, "weights"))
    model = DiffusionModel.new(settings, inputs)
    log = train(model, images, channels_of(model), run, translate)
    run.facts.update(parameters=sum(p.numel() for p in model.network.parameters()), final_loss=log.last()["loss"])
    return model, log


def load(directory: Path, config: type, sampling: Any, run: Run) -> DiffusionModel:
    """Read a model folder onto the run's device.

    Args:
        directory: what `DiffusionModel.save` wrote.
        config: class of the settings it was trained with.
        sampling: resolved settings whose options of sampling replace the defaults of the model's preset.
        run: device and threads.
    """
    run.use_threads()
    model = DiffusionModel.load(directory, config)
    model.settings = model.settings.sampling_like(sampling)
    return placed(model, run)


def placed(model: DiffusionModel, run: Run) -> DiffusionModel:
    """`model`, made ready to translate on the run's device, as its settings ask; noted in the job's record on a GPU."""
    network = model.network.to(run.device)
    if model.settings.weights == "bf16":
        network.to(torch.bfloat16)
    if model.settings.channels_last:
        network.to(memory_format=torch.channels_last)
    if model.settings.compile:
        model.network = compiled(network)
    if run.device != "cpu":
        run.facts.update(noise="philox4x32-10", weights=model.settings.weights)
        model.evaluations = Evaluations(run)
    return model


def translate(
    model: DiffusionModel, source: np.ndarray, generators: Sequence[ImageGenerator], draw: Translate
) -> np.ndarray:
    """Translate ``source`` [N, 1, H, W].

    On a CPU image by image: convolutions round differently in batches of different size, and a result must not depend on
    how many images were asked for at once. One by one the network takes 1.6 times as long as in batches of eight.
    """
    device = str(next(model.network.parameters()).device)
    if device == "cpu":
        parts = [(source[i : i + 1], generators[i : i + 1]) for i in range(len(source))]
    elif model.evaluations is not None:
        parts = [model.evaluations.filled(source, generators)]
    else:
        parts = [(source, generators)]
    return np.concatenate([_translate(model, part, own, draw, device) for part, own in parts])[: len(source)]


def _translate(model: DiffusionModel, source: np.ndarray, generators, draw: Translate, device: str) -> np.ndarray:
    if not model.settings.augment_test:
        noise = image_noise(generators, source.shape[2:], device)
        return _mean_of_draws(model, torch.from_numpy(source).to(device), noise, draw)
    augmented, flips = zip(
        *(augment(image[0], one, model.settings) for image, one in zip(source, generators, strict=True)), strict=True
    )
    noise = image_noise(generators, source.shape[2:], device)
    found = _mean_of_draws(model, torch.from_numpy(np.stack(augmented)[:, None]).to(device), noise, draw)
    return np.stack([image[..., ::-1] if flip else image for image, flip in zip(found, flips, strict=True)])


def _mean_of_draws(model: DiffusionModel, images: torch.Tensor, noise: Noise, draw: Translate) -> np.ndarray:
    """The mean of as many translations as the settings ask for, one after the other from the same streams of noise."""
    found = draw(model, images, noise)
    for count in range(2, model.settings.samples + 1):
        found = found + (draw(model, images, noise) - found) / count
    return found.cpu().numpy()


def augment(image: np.ndarray, generator: ImageGenerator, settings) -> tuple[np.ndarray, bool]:
    """One test image [H, W] flipped and blurred as in training, and whether it was flipped (results are flipped back)."""
    flip, blur, sigma = generator.numpy.random(3)
    flipped = bool(flip < settings.flip)
    image = image[:, ::-1] if flipped else image
    return np.ascontiguousarray(blurred(image, LARGEST * sigma) if blur < settings.blur else image), flipped
