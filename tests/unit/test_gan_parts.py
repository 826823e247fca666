"""Schedule, pool, losses, augmentation, batches and the few-shot draw of the adversarial methods."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.learning.gan.augment import View, seen
from xmodbench.learning.gan.batches import Batches
from xmodbench.learning.gan.contrast import Projections, drawn_places, patch_nce
from xmodbench.learning.gan.losses import cross_entropy, least_squares
from xmodbench.learning.gan.pool import ImagePool
from xmodbench.learning.gan.schedule import decay, learning_rate, total_steps
from xmodbench.learning.gan.settings import PUBLISHED
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.contract import drawn_rows, unpaired


def settings(**changes):
    return SimpleNamespace(**{**PUBLISHED, "iterations": None, "slices": None, "share": 0.11, **changes})


# -- schedule -------------------------------------------------------------------------------------------------------------
def test_learning_rate_falls_as_published():
    published = {0: 1, 99: 1, 100: 0.9901, 199: 0.0099}
    for epoch, factor in published.items():
        assert decay(epoch, 100, 100) == pytest.approx(factor, abs=1e-4)
        for step in (epoch * 993, epoch * 993 + 992):
            assert learning_rate(settings(), step, 993) == pytest.approx(2e-4 * factor, rel=2e-3)


@pytest.mark.parametrize(("slices", "steps"), [(993, 198_600), (952, 190_400), (300, 60_000)])
def test_training_is_as_long_as_published(slices, steps):
    few, all_of_them = np.zeros((20, 1, 8, 8), np.float32), np.zeros((slices, 1, 8, 8), np.float32)
    for source, target in ((few, all_of_them), (all_of_them, few)):
        assert total_steps(settings(), Batches(source, target, settings(), 1, False).per_epoch) == steps


def test_counted_in_steps_the_second_half_falls():
    rates = [learning_rate(settings(iterations=101), step, 7) / 2e-4 for step in range(101)]
    assert rates[:51] == [1.0] * 51
    assert rates[51] == pytest.approx(1 - 1 / 51)
    assert rates[100] == pytest.approx(1 / 51)
    assert total_steps(settings(iterations=101), 7) == 101


# -- pool -----------------------------------------------------------------------------------------------------------------
def numbered(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32).view(-1, 1, 1, 1)


def test_pool_fills_up_then_returns_older_images_half_of_the_time():
    pool, rng = ImagePool(50), np.random.default_rng(0)
    assert torch.equal(pool.exchange(numbered(0, 50), rng), numbered(0, 50))
    given = numbered(50, 4000)
    shown = torch.cat([pool.exchange(image[None], rng) for image in given])
    older = (shown != given).flatten()
    assert older.float().mean().item() == pytest.approx(0.5, abs=0.03)
    # an image waits for its place to be drawn: 50 exchanges, each every other image
    ages = (given - shown).flatten()[older]
    assert ages[500:].mean().item() == pytest.approx(100, rel=0.15)
    assert len(pool.images) == 50
    assert len({image.item() for image in pool.images} | set(shown.flatten().tolist())) == 4050  # none lost, none twice


def test_pool_of_none_shows_every_image_and_no_pool_keeps_gradients():
    image = torch.ones(1, 1, 2, 2, requires_grad=True)
    rng = np.random.default_rng(0)
    for pool in (ImagePool(0), ImagePool(1)):
        for _ in range(5):
            assert not pool.exchange(image * 2, rng).requires_grad
    assert ImagePool(0).exchange(image, rng).equal(image.detach())


# -- losses ---------------------------------------------------------------------------------------------------------------
def test_adversarial_losses_are_their_formulas():
    scores = torch.tensor([[-2.0, 0.0], [0.5, 3.0]], dtype=torch.float64)
    s = scores.numpy()
    assert least_squares(scores, True).item() == pytest.approx(np.mean((s - 1) ** 2))
    assert least_squares(scores, False).item() == pytest.approx(np.mean(s**2))
    probability = 1 / (1 + np.exp(-s))
    assert cross_entropy(scores, True).item() == pytest.approx(-np.mean(np.log(probability)))
    assert cross_entropy(scores, False).item() == pytest.approx(-np.mean(np.log(1 - probability)))


def test_patch_nce_is_its_formula():
    rng = np.random.default_rng(0)
    query, key = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in rng.standard_normal((2, 2, 5, 7)))
    losses = []
    for image in range(2):
        for place in range(5):
            cosines = key[image] @ query[image, place] / 0.07
            weights = np.exp(cosines)
            losses.append(-np.log(weights[place] / weights.sum()))
    query_t, key_t = (torch.from_numpy(x).requires_grad_() for x in (query, key))
    loss = patch_nce(query_t, key_t, 0.07)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-6)
    loss.backward()
    assert key_t.grad is None
    assert query_t.grad.abs().sum() > 0


def test_projections_are_unit_vectors_of_the_asked_positions():
    features = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    places = drawn_places(features, 7)
    assert [len(set(at.tolist())) for at in places] == [7, 4]
    projections = Projections([3, 6], 16)
    points = projections(features, places)
    assert [tuple(point.shape) for point in points] == [(2, 7, 16), (2, 4, 16)]
    np.testing.assert_allclose(points[0].norm(dim=2).detach(), np.ones((2, 7)), rtol=1e-5)
    row, column = divmod(int(places[0][3]), 5)
    alone = projections.mlps[0](features[0][1, :, row, column])
    np.testing.assert_allclose(points[0][1, 3].detach(), (alone / alone.norm()).detach(), rtol=1e-4)


# -- augmentation and batches ---------------------------------------------------------------------------------------------
def test_enlarging_agrees_with_pillow():
    image = np.random.default_rng(0).random((1, 32, 32), dtype=np.float32)
    big = np.asarray(Image.fromarray(image[0]).resize((36, 36), Image.Resampling.BICUBIC)).clip(0, 1)
    found = seen(image, View(0.0, 0.99, False), 286 / 256)
    np.testing.assert_allclose(found[0].numpy(), big[:32, 4:], atol=2e-6)
    np.testing.assert_array_equal(seen(image, View(0.0, 0.99, True), 286 / 256), found.flip(-1))
    np.testing.assert_array_equal(seen(image, View(0.7, 0.7, False), 1.0), image)


def test_views_cover_the_whole_room_and_flip_half_of_the_time():
    rng = np.random.default_rng(0)
    views = [View.drawn(rng, 0.5) for _ in range(2000)]
    room = 128 * 286 // 256 - 128 + 1
    assert {int(view.top * room) for view in views} == set(range(room))
    assert np.mean([view.flipped for view in views]) == pytest.approx(0.5, abs=0.04)


def coded(count: int, base: float) -> np.ndarray:
    """Slices that say which they are: constant, `base` plus a hundredth of their row."""
    return np.full((count, 1, 32, 32), base, np.float32) + np.arange(count, dtype=np.float32)[:, None, None, None] / 100


def rows_of(images: torch.Tensor, base: float) -> list[int]:
    return [round(((image.mean().item() + 1) / 2 - base) * 100) for image in images]


def test_an_epoch_passes_over_the_larger_set_whatever_its_role():
    few, many = coded(4, 0.1), coded(30, 0.5)
    batches = Batches(few, many, settings(batch_size=4), 1, paired=False)
    assert batches.per_epoch == 8
    seen_rows = [rows_of(batches.at(step, "cpu").source, 0.1) for step in range(8)]
    assert [len(rows) for rows in seen_rows] == [4] * 7 + [2]
    assert sorted(np.bincount(np.concatenate(seen_rows))) == [7, 7, 8, 8]
    batches = Batches(many, few, settings(), 1, paired=False)
    assert sorted(rows_of(batches.at(step, "cpu").source, 0.5)[0] for step in range(30)) == list(range(30))
    assert {rows_of(batches.at(step, "cpu").target, 0.1)[0] for step in range(30)} == {0, 1, 2, 3}


def test_pairs_stay_pairs_under_the_same_augmentation():
    images = np.random.default_rng(0).random((6, 1, 32, 32), dtype=np.float32)
    paired = Batches(images, images, settings(batch_size=3), 1, paired=True)
    for step in range(4):
        batch = paired.at(step, "cpu")
        assert torch.equal(batch.source, batch.target)
        assert batch.source.min() >= -1 and batch.source.max() <= 1
    alone = Batches(images[:1], images[:1], settings(flip=0.0), 1, paired=False)
    assert not all(torch.equal(b.source, b.target) for b in (alone.at(step, "cpu") for step in range(5)))


def test_a_batch_depends_on_seed_and_step_alone():
    images = np.random.default_rng(0).random((6, 1, 32, 32), dtype=np.float32)
    first, again = (Batches(images, images, settings(), 1, paired=False) for _ in range(2))
    later = first.at(17, "cpu")
    for step in range(17):
        again.at(step, "cpu")
    assert torch.equal(later.source, again.at(17, "cpu").source)
    assert not torch.equal(later.source, Batches(images, images, settings(), 2, False).at(17, "cpu").source)


def enlarged_steps(method: str, steps: int, **options) -> list[int]:
    """Steps in which a method sees something else than its slices and their mirror images."""
    resolved = find(METHODS, method).cls.Config(**options).resolved()
    images = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    plain, mirrored = ({(2 * image - 1).tobytes() for image in stack} for stack in (images, images[..., ::-1]))
    batches, enlarged, shown = Batches(images, images, resolved, 1, paired=False), [], set()
    for step in range(steps):
        batch = batches.at(step, "cpu")
        views = {batch.source[0].numpy().tobytes(), batch.target[0].numpy().tobytes()}
        if views <= plain | mirrored:
            shown |= views
        else:
            enlarged.append(step)
    assert not shown or (shown & plain and shown & mirrored), "slices that are not enlarged are no longer mirrored"
    return enlarged


@pytest.mark.parametrize(("method", "zooming"), [("cut", 4), ("cyclegan", 7), ("pix2pix", 7)])
def test_cut_alone_stops_to_enlarge_when_the_rate_falls(method, zooming):
    """The released CUT loads slices at the crop's size in epochs (from 1) beyond those of the constant rate."""
    epochs = {"epochs": 4, "decay_epochs": 3}
    assert enlarged_steps(method, 7 * 3, **epochs) == list(range(zooming * 3))
    steps = enlarged_steps(method, 15, iterations=15)
    assert steps == list(range(8 if method == "cut" else 15))
    assert enlarged_steps("cut", 21, **epochs, zoom_in_decay=True) == list(range(21))
    assert enlarged_steps("cut", 12, epochs=4, decay_epochs=0) == list(range(12))


# -- the few-shot draw ----------------------------------------------------------------------------------------------------
def drawn(count, seed=1, **options):
    plugin = find(METHODS, "cyclegan")
    return drawn_rows(plugin.cls(plugin.cls.Config(**options)), count, seed)


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(993, 0.02, 20), (952, 0.06, 57), (300, 0.11, 33), (10, 0.01, 1)]
)
def test_shares_give_the_published_numbers_of_slices(count, share, expected):
    rows = drawn(count, share=share)
    assert len(set(rows)) == expected
    assert rows == sorted(rows)
    assert rows[0] >= 0 and rows[-1] < count


def test_smaller_draws_are_part_of_larger_ones_and_seeds_differ():
    draws = [set(drawn(300, share=share)) for share in (0.02, 0.06, 0.11, 1.0)]
    assert all(small < large for small, large in pairwise(draws))
    assert set(drawn(300, slices=6)) == draws[0]
    assert set(drawn(300, 2, share=0.11)) != draws[2]


def test_drawn_slices_are_handed_out_in_an_order_of_their_own():
    rows = drawn(300, share=1.0)
    given = unpaired(rows, 1)
    assert sorted(given) == rows == list(range(300))
    assert np.mean(np.array(given) == rows) < 0.05
    assert unpaired(rows, 1) == given != unpaired(rows, 2)


def test_more_slices_than_there_are_is_one_clear_line():
    with pytest.raises(UserError, match=r"slices: asks for 9 source slices, there are 8; ask for fewer"):
        drawn(8, slices=9)
