"""Whether chance comes from the seeds that a method is handed: what it seeds by itself is given another seed, to see it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np


@contextmanager
def other_seeds() -> Iterator[None]:
    """Give another seed to all that is seeded within: generators of NumPy, Python and torch, and the global ones.

    Names that a plugin took out of these modules when it was imported are not seen: some are missed, none is made up.
    """
    replaced: dict[tuple[Any, str], Callable[[Any], Any]]
    replaced = {(np.random, "default_rng"): _seeding, (np.random, "seed"): _seeding, (random, "seed"): _seeding}
    replaced |= {(np.random, "RandomState"): _class, (random, "Random"): _class}
    if (torch := sys.modules.get("torch")) is not None:
        replaced |= {(torch, "manual_seed"): _seeding, (torch, "Generator"): _generator}
    with ExitStack() as stack:
        for (owner, name), changed in replaced.items():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, changed(getattr(owner, name)))
        yield


def _other(seed: Any) -> Any:
    if isinstance(seed, (int, np.integer)):
        return int(seed) ^ 1
    return [*seed, 1] if isinstance(seed, (list, tuple)) else seed


def _seeding(function: Callable[..., Any]) -> Callable[..., Any]:
    def seeded(seed: Any = None, *arguments: Any, **options: Any) -> Any:
        return function(_other(seed), *arguments, **options)

    return seeded


def _class(cls: Any) -> type:
    def __init__(self: Any, seed: Any = None) -> None:
        cls.__init__(self, _other(seed))

    return type(cls.__name__, (cls,), {"__init__": __init__})


def _generator(cls: Any) -> type:
    def manual_seed(self: Any, seed: int) -> Any:
        cls.manual_seed(self, _other(seed))
        return self

    return type(cls.__name__, (cls,), {"manual_seed": manual_seed})
