"""Several samples of each slice: their seeds, their mean and their standard deviation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from xmodbench.seeding import derive_seed


def seeds_of(seed: int, ids: Sequence[str], samples: int) -> list[int]:
    """A seed for each image id of each sample, sample by sample; those of the first are the benchmark's."""
    first = [derive_seed(seed, "image", image_id) for image_id in ids]
    more = [derive_seed(seed, "image", image_id, "sample", k) for k in range(1, samples) for image_id in ids]
    return first + more


def mean_and_spread(
    batches: Iterable[np.ndarray], count: int, samples: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and standard deviation over samples of `count` images each, float32 [N, H, W], by Welford's method.

    Args:
        batches: [n, H, W], sample after sample.
    """
    mean, squares = np.zeros((count, *shape)), np.zeros((count, *shape) if samples > 1 else (0,))
    number = 0
    for batch in batches:
        for image in batch:
            sample, row = divmod(number, count)
            apart = image - mean[row]
            mean[row] += apart / (sample + 1)
            if samples > 1:
                squares[row] += apart * (image - mean[row])
            number += 1
    spread = np.sqrt(squares / (samples - 1)).astype(np.float32) if samples > 1 else None
    return mean.astype(np.float32), spread
