"""ContourDiff: contours of shapes whose contours are known, and what is done with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.feature import canny

from xmodbench.errors import UserError
from xmodbench.learning.diffusion.batches import Batches
from xmodbench.learning.diffusion.maps import SourceMaps, TrainingMaps
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.settings import validated

CLS = find(METHODS, "contourdiff").cls
from xmodbench_methods.contourdiff.contours import contour_maps, contours  # noqa: E402
from xmodbench_methods.contourdiff.method import makers  # noqa: E402


def disc(size=64, radius=20.0, low=0.1, high=0.8):
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    inside = np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1)  # partial volume at the border
    return low + (high - low) * inside


def test_the_contour_of_a_disc_is_its_circle():
    """Closed, one or two pixels wide, nowhere further than a pixel from the radius, and nothing else."""
    found = contours(disc(), 80, 150)
    radius = np.hypot(*(np.argwhere(found) - 31.5).T)
    assert np.abs(radius - 20).max() < 1.2
    angles = np.arctan2(*(np.argwhere(found) - 31.5).T)
    assert np.diff(np.sort(angles)).max() < 2.5 / 20  # no gap
    assert 100 < found.sum() < 180  # 2 pi 20 is 126


def test_a_step_gives_one_straight_line_beside_it():
    image = np.zeros((12, 16))
    image[:, 8:] = 0.5
    found = contours(image, 80, 150)
    assert found[:, 7:9].any(1).all()
    assert found.sum() == 12


@pytest.mark.parametrize("height", [0.05, 0.1, 0.15, 0.2])
def test_thresholds_are_gradients_in_grey_levels(height):
    """A straight step of so many grey levels: the blur leaves 3/4 of it to the Sobel filter of gain 4."""
    image = np.zeros((12, 16))
    image[:, 8:] = height
    assert contours(image, 80, 150).any() == (255 * height * 3 > 150)


def test_weak_edges_count_where_they_go_on_with_strong_ones():
    """A border that fades from 382 grey levels of gradient at the top to 92 at the bottom."""
    image = np.zeros((24, 24))
    image[:, 12:] = np.linspace(0.5, 0.12, 24)[:, None]
    below = slice(20, 23), slice(11, 13)
    assert contours(image, 80, 150)[below].any(1).all()
    assert not contours(image, 150, 151)[below].any()  # too weak
    assert not contours(image, 80, 400)[below].any()  # nothing strong to go on with


def test_contours_lie_where_those_of_scikit_image_do():
    rng = np.random.default_rng(0)
    image = disc(64, 24, 0.2, 0.7) + 0.3 * disc(64, 9, 0, 1) + 0.01 * rng.standard_normal((64, 64))
    found = np.argwhere(contours(image, 80, 150))
    other = np.argwhere(canny(255 * image, sigma=0.8, low_threshold=80, high_threshold=150))
    distance = np.sqrt(((found[:, None] - other) ** 2).sum(2))
    assert max(distance.min(0).max(), distance.min(1).max()) < 2.5


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_an_image_without_edges_has_none(level):
    assert not contours(np.full((9, 7), level), 80, 150).any()


def test_contours_are_those_of_any_contrast_with_the_same_borders():
    found = contours(disc(), 80, 150)
    inverted = contours(1 - disc(), 80, 150)
    rows = [np.hypot(*(np.argwhere(one) - 31.5).T) for one in (found, inverted)]
    assert np.abs(rows[0].mean() - rows[1].mean()) < 0.6
    assert contour_maps(torch.rand(3, 1, 12, 9), 80, 150).unique().tolist() == [0, 1]


def test_the_published_network_has_the_published_number_of_parameters():
    settings = CLS.Config(preset="released").resolved()
    with torch.device("meta"):  # shapes without numbers
        model = DiffusionModel.new(settings, 2)
    assert sum(p.numel() for p in model.network.parameters()) == 113_669_761  # diffusers' UNet2DModel at its arguments
    blocks = [type(block).__name__ for block in (*model.network.unet.down_blocks, *model.network.unet.up_blocks)]
    assert [place for place, name in enumerate(blocks) if name.startswith("Attn")] == [4, 7]


def test_the_released_form_is_the_released_one():
    found = CLS.Config(preset="released").resolved()
    assert (found.low_threshold, found.high_threshold, found.sampler, found.sampling_steps) == (80, 150, "ddim", 50)
    assert (found.stretch, CLS.Config().resolved().stretch) == (True, False)
    assert (found.prediction, found.loss_reduction, found.ema_decay) == ("eps", "mean", 0)


def test_short_is_midiffusions_but_for_the_condition():
    """So that a comparison of both compares nothing else."""
    other = find(METHODS, "midiffusion").cls.Config(preset="short").resolved()
    found = CLS.Config(preset="short").resolved()
    shared = set(type(found).model_fields) & set(type(other).model_fields)
    assert {name: getattr(found, name) for name in shared} == {name: getattr(other, name) for name in shared}


def test_training_sees_the_slices_own_contours(quiet):
    images = np.stack([disc(32, radius) for radius in (6, 9, 12)])[:, None].astype(np.float32)
    settings = CLS.Config(preset="short", batch_size=3).resolved()
    guide = TrainingMaps(makers(settings), images, settings, quiet)
    batch = Batches(images, settings, seed=0).at(0, "cpu")
    rows = images[batch.index.numpy(), 0]
    wanted = [
        contours(image, 80, 150)[:, :: -1 if flip else 1] for image, flip in zip(rows, batch.flipped, strict=True)
    ]
    assert np.array_equal(guide(batch)[:, 0].numpy(), np.stack(wanted))


def test_warped_slices_get_contours_of_their_own(quiet):
    images = np.stack([disc(32, radius) for radius in (6, 9, 12)])[:, None].astype(np.float32)
    settings = CLS.Config(preset="short", batch_size=3, affine=1.0).resolved()
    guide = TrainingMaps(makers(settings), images, settings, quiet)
    batch = Batches(images, settings, seed=0).at(0, "cpu")
    assert guide.kept == {}
    assert torch.equal(guide(batch), contour_maps(batch.clean, 80, 150))


def test_the_condition_does_not_change_with_the_noisy_image():
    condition = SourceMaps(makers(CLS.Config(preset="short").resolved()), torch.from_numpy(disc()[None, None]).float())
    assert torch.equal(condition(torch.zeros(1, 1, 64, 64)), condition(torch.ones(1, 1, 64, 64)))
    assert torch.equal(condition.tensors[0][0, 0], torch.from_numpy(contours(disc(), 80, 150)).float())


@pytest.mark.parametrize("stretch", [False, True])
def test_results_are_stretched_only_if_asked_for(stretch, monkeypatch):
    from xmodbench.learning.diffusion import samplers

    drawn = torch.tensor([0.2, 0.3, 0.6]).reshape(1, 1, 1, 3)
    monkeypatch.setattr(samplers, "sample", lambda model, condition, noise: drawn)
    settings = CLS.Config(preset="short", width=8, stretch=stretch)
    model = DiffusionModel.new(settings.resolved(), 2)
    found = CLS(settings).draw(model, torch.zeros(1, 1, 8, 8), None)
    torch.testing.assert_close(found.flatten(), torch.tensor([0, 0.25, 1]) if stretch else drawn.flatten())


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(UserError, match="low_threshold 200 is above high_threshold 150"):
        validated(CLS.Config, {"low_threshold": 200}, "test")
