"""How much a method's job has to do, counted from its settings: options of length have the same names in all methods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from xmodbench.files import sha256_json

VERBS = ("pretrain", "train", "translate")


@dataclass(frozen=True)
class Work:
    """What a job has to do.

    Attributes:
        amount: slices shown to a network in training; slices times evaluations of it in translation.
        network: which kind of network it is; amounts of different kinds cannot be compared.
        width: its channels; what a slice costs grows with the square.
        size: height and width of the slices as the network sees them, pixels; what a slice costs grows with the square.
    """

    amount: float
    network: str = ""
    width: float = 1
    size: float = 1

    @property
    def unit(self) -> float:
        """What one slice costs, but for a factor that is the same for all sizes and widths of the network."""
        return (self.width * self.size) ** 2

    @property
    def cost(self) -> float:
        """What all of it costs."""
        return self.amount * self.unit


def work(settings: Any, verb: str, slices: int, size: int) -> Work | None:
    """What a job of a method has to do; None where its settings do not say, as those of other authors' methods may not.

    Args:
        settings: those of a training, whole; of a borrower's translation, laid over those of the model.
        verb: ``pretrain``, ``train`` or ``translate``.
        slices: training slices for a training, else those to translate.
        size: their height and width, pixels.
    """
    nearest = 2 ** max(1, round(math.log2(max(2, size))))
    if hasattr(settings, "kimg"):
        return _gan_with_encoder(settings.resolved(nearest), verb, slices)
    if not hasattr(settings, "resolved"):
        return None
    found = settings.resolved()
    network, width = str(getattr(found, "network", "")), getattr(found, "width", None)
    if width is None:
        return None
    if verb == "translate":
        return Work(slices * _evaluations(found), network, width, size)
    steps, batch = _steps(found, slices), getattr(found, "batch_size", None)
    return None if steps is None or batch is None else Work(steps * batch, network, width, size)


def counted(settings: Any, verb: str, slices: int, size: int) -> Work:
    """As `work`; what settings do not say is as much as another job with the same settings did, slice by slice."""
    alike = Work(slices, f"settings {sha256_json(settings.model_dump_json())[:12]}", 1, size)
    return work(settings, verb, slices, size) or alike


def _steps(found: Any, slices: int) -> float | None:
    """Optimiser steps, each of `accumulation` batches."""
    accumulation = getattr(found, "accumulation", 1)
    if getattr(found, "iterations", None):
        return found.iterations * accumulation
    epochs = getattr(found, "epochs", None)
    if not epochs:
        return None
    epochs += getattr(found, "decay_epochs", None) or 0
    return epochs * math.ceil(slices / (found.batch_size * accumulation)) * accumulation


def _evaluations(found: Any) -> float:
    """Evaluations of the network for a slice: one, or those of a sampler for each sample that is averaged; it may start on
    the way and be repeated."""
    steps = getattr(found, "sampling_steps", None) or 1
    if getattr(found, "sampler", None) == "heun":
        steps = 2 * steps - 1
    steps *= getattr(found, "samples", None) or 1
    return steps * (getattr(found, "start", None) or 1) * (getattr(found, "repeats", None) or 1)


def _gan_with_encoder(found: Any, verb: str, slices: int) -> Work:
    amounts = {
        "pretrain": 1000 * found.kimg,
        "train": found.encoder_iterations * found.encoder_batch,
        "translate": slices * found.inversion_steps,
    }
    return Work(amounts[verb], found.preset, 1, found.resolution)


def laid_over(own: Any, model: Any) -> Any:
    """A model's settings with what a method's own say of translation; `own` themselves where they are of the same class."""
    if model is None or type(own) is type(model):
        return own
    names = set(type(model).model_fields)
    given = {name: value for name, value in own if name in names and value is not None}
    return model.model_copy(update=given)
