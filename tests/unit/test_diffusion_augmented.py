"""What batches of training slices carry beside slices, times and noise: small affine maps, and seeds for all else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xmodbench.learning.diffusion.affine import warped
from xmodbench.learning.diffusion.batches import Batches
from xmodbench.learning.diffusion.settings import SHORT
from xmodbench.plugins.check import phantom


class Scripted:
    """A generator whose uniform numbers are all the same share of the way from the least to the most."""

    def __init__(self, share):
        self.share = share

    def uniform(self, low, high, count):
        return np.full(count, low + self.share * (high - low))


def settings(**changes):
    return SimpleNamespace(**{**SHORT, **changes})


def test_a_map_that_moves_nothing_changes_nothing():
    image = phantom(1, 1)[0, 0]
    np.testing.assert_allclose(warped(image, Scripted(0.5)), image, atol=1e-6)


def test_a_map_scales_about_the_middle_and_moves():
    image = np.zeros((41, 41), np.float32)
    image[18:23, 18:23] = 1
    found = warped(image, Scripted(1.0))  # 1.1 x 1.2 times as large, down and right by a tenth, turned by 5 degrees
    rows, columns = np.nonzero(found > 0.5)
    assert (rows.mean(), columns.mean()) == pytest.approx((20 + 4.1, 20 + 4.1), abs=0.2)
    assert found.sum() == pytest.approx(25 * 1.32**2, rel=0.05)


def test_batches_are_warped_as_often_as_asked_for():
    images = phantom(8, 1)
    plain, some, all_ = (
        Batches(images, settings(affine=share, batch_size=64), 0).at(0, "cpu") for share in (0.0, 0.5, 1.0)
    )
    changed = [(batch.clean != plain.clean).flatten(1).any(1).sum().item() for batch in (some, all_)]
    assert 15 < changed[0] < 49 and changed[1] == 64
    assert torch.equal(plain.t, all_.t) and torch.equal(plain.eps, all_.eps) and torch.equal(plain.seeds, all_.seeds)


def test_seeds_are_of_step_and_place_alone():
    images, whole = phantom(8, 1), settings(batch_size=4)
    one = Batches(images, whole, 0)
    halves = [Batches(images, settings(batch_size=2), 0, rank, 2) for rank in range(2)]
    together = torch.cat([half.at(3, "cpu").seeds for half in halves])
    assert torch.equal(one.at(3, "cpu").seeds, together)
    assert len({*one.at(3, "cpu").seeds.tolist(), *one.at(4, "cpu").seeds.tolist()}) == 8
