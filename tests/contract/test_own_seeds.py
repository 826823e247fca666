"""What is seeded by itself gets another seed, and is as before afterwards."""

import random

import numpy as np
import torch

from xmodbench.stages.check.own_seeds import other_seeds


def draws():
    np.random.seed(3)  # noqa: NPY002 (what some methods do)
    random.seed(3)
    torch.manual_seed(3)
    return [
        np.random.rand(),  # noqa: NPY002
        random.random(),
        torch.rand(1).item(),
        np.random.default_rng(3).random(),
        np.random.default_rng(seed=[3, 4]).random(),
        np.random.RandomState(3).rand(),
        random.Random(3).random(),
        torch.rand(1, generator=torch.Generator("cpu").manual_seed(3)).item(),
    ]


def test_all_that_is_seeded_gets_another_seed():
    before = draws()
    with other_seeds():
        within = draws()
    assert not set(before) & set(within)
    assert draws() == before


def test_generators_that_are_handed_on_are_left_alone():
    wanted = np.random.default_rng(5).random(), np.random.default_rng(np.random.SeedSequence(5)).random()
    ours = np.random.default_rng(5)
    with other_seeds():
        assert (
            np.random.default_rng(ours).random(),
            np.random.default_rng(np.random.SeedSequence(5)).random(),
        ) == wanted
