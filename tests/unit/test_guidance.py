"""The channels that condition MIDiffusion: edge maps against references, and what is kept between steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import filters

from xmodbench.learning.diffusion.batches import Batch, Batches
from xmodbench.learning.diffusion.schedules import process_of
from xmodbench.learning.energies.mind import mind
from xmodbench.plugins import METHODS, Run, find

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion import guidance  # noqa: E402
from xmodbench_methods.midiffusion.edges import sobel_map, std_map  # noqa: E402
from xmodbench_methods.midiffusion.lmi import lmi_map  # noqa: E402
from xmodbench_methods.midiffusion.settings import MidiffusionSettings  # noqa: E402

IMAGES = np.random.default_rng(0).random((3, 1, 12, 10), dtype=np.float32)
ALL = ("std", "mind", "cross", "sobel", "self")


def model_with(channels=ALL, **changes):
    """All of a model that guidance asks for."""
    settings = MidiffusionSettings(preset="short", channels=channels, **changes).resolved()
    outside = (lambda x: x) if settings.data_range == "0,1" else (lambda x: (x + 1) / 2)
    inside = (lambda x: x) if settings.data_range == "0,1" else (lambda x: 2 * x - 1)
    return SimpleNamespace(settings=settings, process=process_of(settings), inside=inside, outside=outside)


def test_sobel_equals_scikit_image():
    for image, found in zip(IMAGES, sobel_map(torch.from_numpy(IMAGES)), strict=True):
        np.testing.assert_allclose(found[0], filters.sobel(image[0]), atol=1e-6)
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    assert sobel_map(step).max().item() == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("window", [3, 5, 7])
def test_std_equals_scipy(window):
    found = std_map(torch.from_numpy(IMAGES), window)
    for image, one in zip(IMAGES, found, strict=True):
        want = 2 * ndimage.generic_filter(image[0].astype(float), np.std, size=window, mode="nearest")
        np.testing.assert_allclose(one[0], want, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("make", [sobel_map, lambda images: std_map(images, 3), lambda images: lmi_map(images, images)])
def test_maps_commute_with_flips(make):
    images = torch.from_numpy(IMAGES)
    for axis in (-1, -2):
        torch.testing.assert_close(make(images.flip(axis)), make(images).flip(axis), atol=1e-6, rtol=0)


def test_channels_come_in_the_order_asked_for():
    model, source = model_with(), torch.from_numpy(IMAGES)
    noisy = source + 0.1
    found = guidance.SourceGuide(model, source)(noisy)
    options = guidance.lmi_options(model.settings, model.settings.normalise_sample)
    cross, own = lmi_map(source, noisy, options), lmi_map(source, source, options)
    torch.testing.assert_close(found, torch.cat([std_map(source, 3), mind(source), cross, sobel_map(source), own], 1))
    assert guidance.planes(ALL) == found.shape[1]


def test_maps_of_the_source_are_made_once(monkeypatch):
    calls = []
    monkeypatch.setattr(guidance, "lmi_map", lambda s, y, options: calls.append(s is y) or torch.zeros_like(s))
    condition = guidance.SourceGuide(model_with(), torch.from_numpy(IMAGES))
    for _ in range(3):
        condition(torch.zeros(3, 1, 12, 10))
    assert calls == [True, False, False, False]


def test_no_channels_is_no_condition(quiet):
    model = model_with(())
    assert guidance.SourceGuide(model, torch.from_numpy(IMAGES))(torch.zeros(3, 1, 12, 10)) is None
    assert guidance.TrainingGuide(model, IMAGES, quiet)(None) is None


def test_kept_training_maps_equal_fresh_ones(quiet, monkeypatch):
    """Also of flipped slices; without blur the maps of clean slices are made once and for all, but for MIND's, whose
    channels have directions."""
    model = model_with(flip=0.5, blur=0.0, batch_size=3)
    batches = Batches(IMAGES, model.settings, seed=0)
    guide = guidance.TrainingGuide(model, IMAGES, quiet)
    assert set(guide.kept) == {"std", "sobel", "self"}
    fresh = guidance.TrainingGuide(model, IMAGES, quiet)
    fresh.kept = {}
    found = [batches.at(step, "cpu") for step in range(4)]
    assert len({flag.item() for batch in found for flag in batch.flipped}) == 2
    for batch in found:
        torch.testing.assert_close(guide(batch), fresh(batch), atol=1e-6, rtol=0)


def test_blurred_training_images_get_maps_of_their_own(quiet):
    model = model_with(("self", "sobel", "std"), blur=1.0, batch_size=3)
    guide = guidance.TrainingGuide(model, IMAGES, quiet)
    assert guide.kept == {}
    batch = Batches(IMAGES, model.settings, seed=0).at(0, "cpu")
    torch.testing.assert_close(guide(batch)[:, 1:2], sobel_map(batch.clean))


def test_cross_map_in_training_is_taken_later_by_the_time_shift(quiet):
    clean, eps = torch.from_numpy(IMAGES), torch.randn(3, 1, 12, 10, generator=torch.Generator().manual_seed(0))
    model = model_with(("cross",), time_shift=1)
    t = torch.tensor([0, 500, 999])
    batch = Batch(clean, torch.arange(3), torch.zeros(3, dtype=torch.bool), t, eps)
    found = guidance.TrainingGuide(model, IMAGES, quiet)(batch)
    noisy = model.outside(model.process.diffuse(model.inside(clean), torch.tensor([1, 501, 999]), eps))
    want = lmi_map(clean, noisy, guidance.lmi_options(model.settings, model.settings.normalise_train))
    torch.testing.assert_close(found, want)


@pytest.mark.parametrize(
    ("channels", "changes", "wanted"),
    [
        (("cross", "self"), {}, {"lmi_path": "compiled"}),
        (("self",), {"reduce": "mean"}, {"lmi_path": "torch"}),
        (("sobel", "std"), {}, {}),
    ],
)
def test_the_record_says_what_makes_the_maps(tmp_path, quiet, channels, changes, wanted):
    run = Run(1, "cpu", tmp_path, quiet)
    guidance.note_path(model_with(channels, **changes).settings, True, run)
    assert run.facts == wanted
