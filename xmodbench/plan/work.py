"""How much a method's job has to do, counted from its settings: options of length have the same names in all methods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from xmodbench.files import sha256_json
from xmodbench.learning.diffusion.length import count_held_out, most_steps

VERBS = ("pretrain", "train", "translate")


@dataclass(frozen=True)
class Work:
    """What a job has to do.

    Attributes:
        amount: slices shown to a network in training; slices times evaluations of it in translation.
        network: which kind of network it is; amounts of different kinds cannot be compared.
        width: its channels; what a slice costs grows with the square.
        size: height and width of the slices as the network sees them, pixels; what a slice costs grows with the square.
        at_most: whether it may end sooner: where slices that are held out say when more no longer helps, or where nobody
            knows yet how many slices there are.
    """

    amount: float
    network: str = ""
    width: float = 1
    size: float = 1
    at_most: bool = False

    @property
    def unit(self) -> float:
        """What one slice costs, but for a factor that is the same for all sizes and widths of the network."""
        return (self.width * self.size) ** 2

    @property
    def cost(self) -> float:
        """What all of it costs."""
        return self.amount * self.unit


def work(settings: Any, verb: str, slices: int | None, size: int, device: str = "cpu") -> Work | None:
    """What a job of a method has to do; None where its settings do not say, as those of other authors' methods may not.

    Args:
        settings: those of a training, whole; of a borrower's translation, laid over those of the model.
        verb: ``pretrain``, ``train`` or ``translate``.
        slices: training slices for a training, else those to translate; None where nobody knows how many.
        size: their height and width, pixels.
        device: what it computes on: where nothing else ends a training, one on a GPU may take more steps.
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
        return None if slices is None else Work(slices * _evaluations(found), network, width, size)
    if verb == "train" and hasattr(found, "classifier_iterations"):  # the second phase, after a diffusion model
        images = found.classifier_iterations * found.classifier_batch
        return Work(images, "classifier", found.classifier_width, size)
    steps = _steps(found, slices, size, device)
    return None if steps is None else Work(steps * found.batch_size, network, width, size, _ends_sooner(found, slices))


def counted(settings: Any, verb: str, slices: int | None, size: int, device: str = "cpu") -> Work | None:
    """As `work`; what settings do not say is as much as another job with the same settings did, slice by slice."""
    done = work(settings, verb, slices, size, device)
    if done is None and slices is not None:
        return Work(slices, f"settings {sha256_json(settings.model_dump_json())[:12]}", 1, size)
    return done


def _steps(found: Any, slices: int | None, size: int, device: str) -> float | None:
    """Batches that are trained on: optimiser steps, each of `accumulation` of them."""
    if getattr(found, "batch_size", None) is None:
        return None
    accumulation = getattr(found, "accumulation", 1)
    per_step = found.batch_size * accumulation
    trained = None if slices is None else slices - _held_out(found, slices)
    if getattr(found, "iterations", None):
        return found.iterations * accumulation
    if epochs := getattr(found, "epochs", None):
        epochs += getattr(found, "decay_epochs", None) or 0
        return None if trained is None else epochs * math.ceil(trained / per_step) * accumulation
    if not hasattr(found, "held_out"):
        return None
    return most_steps(trained, per_step, (size, size), device) * accumulation


def _held_out(found: Any, slices: int) -> int:
    return count_held_out(slices, getattr(found, "held_out", 0))


def _ends_sooner(found: Any, slices: int | None) -> bool:
    """Whether a training may end before its last step, or that one is not known yet."""
    open_end = slices is None and not getattr(found, "iterations", None)
    looks = getattr(found, "patience", 0) and (
        getattr(found, "held_out", 0) if slices is None else _held_out(found, slices)
    )
    return bool(open_end or looks)


def _evaluations(found: Any) -> float:
    """Evaluations of the network for a slice: one, or those of a sampler for each sample that is averaged; it may start on
    the way and be repeated."""
    steps = getattr(found, "sampling_steps", None) or 1
    if getattr(found, "sampler", None) == "heun":
        steps = 2 * steps - 1
    steps *= getattr(found, "samples", None) or 1
    return steps * (getattr(found, "start", None) or 1) * (getattr(found, "repeats", None) or 1)


def _gan_with_encoder(found: Any, verb: str, slices: int | None) -> Work | None:
    if verb == "translate" and slices is None:
        return None
    amounts = {
        "pretrain": 1000 * found.kimg,
        "train": found.encoder_iterations * found.encoder_batch,
        "translate": (slices or 0) * found.inversion_steps,
    }
    return Work(amounts[verb], found.preset, 1, found.resolution)


def laid_over(own: Any, model: Any) -> Any:
    """A model's settings with what a method's own say of translation; `own` themselves where they are of the same class."""
    if model is None or type(own) is type(model):
        return own
    names = set(type(model).model_fields)
    given = {name: value for name, value in own if name in names and value is not None}
    return model.model_copy(update=given)
