"""Random numbers that belong to an image, not to a job.

Each image's generator is seeded from (seed, image id) alone, so batch size, sharding, resuming and order change nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(seed: int, *names: object) -> int:
    """A 63-bit seed from a run's seed and any names (purpose, subject, image id), stable across machines."""
    text = "\0".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def nested_draw(available: int, wanted: int, seed: int) -> list[int]:
    """`wanted` of the numbers below `available`, ascending; smaller draws are part of larger ones."""
    import numpy as np

    order = np.random.default_rng(derive_seed(seed, "few-shot")).permutation(available)
    return sorted(order[:wanted].tolist())


@dataclass(frozen=True)
class ImageGenerator:
    """The random stream of one image, as a NumPy or a torch generator (made on first use, then continued)."""

    seed: int

    @classmethod
    def of(cls, seed: int, image_id: str) -> ImageGenerator:
        """The generator of image `image_id` in a run with seed `seed`."""
        return cls(derive_seed(seed, "image", image_id))

    @cached_property
    def numpy(self) -> np.random.Generator:
        """NumPy generator."""
        import numpy as np

        return np.random.default_rng(self.seed)

    @cached_property
    def torch(self) -> torch.Generator:
        """CPU torch generator; what is drawn on a GPU comes from the seed itself (`xmodbench.learning.philox`)."""
        import torch

        return torch.Generator().manual_seed(self.seed)
