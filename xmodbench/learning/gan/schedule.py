"""How long training lasts and how the learning rate falls."""

from __future__ import annotations

import math


def decay(position: int, constant: int, falling: int) -> float:
    """Factor of the learning rate: 1 for `constant` positions, then linearly down over `falling` more, never to 0."""
    return 1 - max(0, position + 1 - constant) / (falling + 1)


def total_steps(settings, per_epoch: int) -> int:
    """Optimiser steps: ``iterations``, or the epochs of both parts of the schedule."""
    return settings.iterations or (settings.epochs + settings.decay_epochs) * per_epoch


def learning_rate(settings, step: int, per_epoch: int) -> float:
    """Adam's step size at `step`."""
    return settings.learning_rate * decay(*_place(settings, step, per_epoch))


def cosine_rate(settings, step: int, per_epoch: int, last: float, first: float | None = None) -> float:
    """Step size that falls from `first` (``learning_rate`` if left out) to `last` along half a cosine.

    Once per epoch as published; where training is counted in ``iterations``, at each step.
    """
    first = settings.learning_rate if first is None else first
    place, length = step // per_epoch, settings.epochs
    if settings.iterations:
        place, length = step, settings.iterations
    return last + (first - last) * (1 + math.cos(math.pi * place / length)) / 2


def decaying(settings, step: int, per_epoch: int) -> bool:
    """Whether the learning rate has begun to fall at `step`."""
    position, constant, _ = _place(settings, step, per_epoch)
    return position >= constant


def _place(settings, step: int, per_epoch: int) -> tuple[int, int, int]:
    """`step` on the schedule, as `decay` takes it.

    The rate changes once per epoch as published; where training is counted in ``iterations``, at each step of their second
    half.
    """
    if settings.iterations:
        falling = settings.iterations // 2
        return step, settings.iterations - falling, falling
    return step // per_epoch, settings.epochs, settings.decay_epochs
