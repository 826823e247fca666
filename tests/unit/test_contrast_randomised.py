"""Contrast-randomised training: what its contrasts are, what it learns, and what it cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.paired import error_beside_copying
from xmodbench.errors import UserError
from xmodbench.learning.diffusion.batches import Batches
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.seeding import ImageGenerator

CLS = find(METHODS, "contrast_randomised").cls
from xmodbench_methods.contrast_randomised import contrasts, regression  # noqa: E402

CLEAN = {"classes": 0.0, "places": 0.0, "bias": 0.0, "gamma": 0.0, "blur_px": 0.0, "noise": 0.0, "background": 0.0}
IMAGE = phantom(1, 3)[0, 0]


def settings(**changes):
    return CLS.Config(preset="short", **changes).resolved()


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_function_that_changes_nothing_gives_the_slice_back(monkeypatch):
    monkeypatch.setattr(contrasts, "random_function", lambda greys, settings, rng: contrasts.LEVELS)
    found = contrasts.randomised(IMAGE, settings(**CLEAN), rng())
    np.testing.assert_allclose(found, contrasts.normalised(IMAGE), atol=1e-6)


def test_the_same_seed_gives_the_same_contrast_and_another_seed_another():
    found = [contrasts.randomised(IMAGE, settings(), rng(seed)) for seed in (5, 5, 6)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert all(one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1 for one in found)


def test_shares_of_rising_and_falling_functions_are_those_asked_for():
    """Within three standard deviations; of those drawn freely one in 60 or so is in order too (2 of 4! at four knots)."""
    count, chosen = 600, settings(monotone=0.3, inverted=0.2)
    slopes = [np.diff(contrasts.random_function(IMAGE.ravel(), chosen, rng(seed))) for seed in range(count)]
    rising = sum(bool((slope >= -1e-9).all()) for slope in slopes)
    falling = sum(bool((slope <= 1e-9).all()) for slope in slopes)
    by_chance = 0.5 * sum(1 / np.prod(range(1, n + 1)) for n in range(4, 9)) / 5
    for found, share in ((rising, 0.3 + by_chance), (falling, 0.2 + by_chance)):
        assert abs(found - count * share) < 3 * np.sqrt(count * share * (1 - share))


def test_functions_stay_within_the_range_of_grey_levels():
    values = np.stack([contrasts.random_function(IMAGE.ravel(), settings(), rng(seed)) for seed in range(50)])
    assert values.shape == (50, 256) and values.min() >= 0 and values.max() <= 1


def test_a_function_gives_equal_greys_equal_ones_and_two_regions_do_not():
    one = contrasts.function_contrast(IMAGE, settings(places=0.0), rng(1))
    two = contrasts.function_contrast(IMAGE, settings(places=1.0), rng(1))
    assert all(np.ptp(one[level == IMAGE]) < 1e-12 for level in np.unique(IMAGE))
    assert max(np.ptp(two[level == IMAGE]) for level in np.unique(IMAGE)) > 0.01


def test_classes_are_those_of_k_means():
    image = np.concatenate([0.1 + 0.01 * np.arange(4), 0.5 + 0.01 * np.arange(8), [0.9] * 4]).reshape(4, 4)
    centres, labels = contrasts.classes(image, np.array([0.05, 0.5, 0.95]))
    assert centres == pytest.approx([0.115, 0.535, 0.9])
    assert labels.tolist() == [[0] * 4, [1] * 4, [1] * 4, [2] * 4]
    _, labels = contrasts.classes(image, np.array([0.1, 0.5, 0.52, 0.9, 2.0]))  # the last has no pixels
    assert set(labels.ravel()) == {0, 1, 2, 3}


def test_air_is_what_is_dark_and_joined_to_the_border():
    image = np.full((24, 24), 0.0)
    image[4:20, 4:20], image[10:14, 10:14] = 0.6, 0.0  # a dark ventricle
    found = contrasts.outside(image)
    assert found[:3].all() and not found[6:18, 6:18].any()
    assert contrasts.body(image).size < image.size
    assert contrasts.body(np.zeros((8, 8))).size == 64  # nothing but air


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_air_stays_black_where_asked_for(background):
    chosen = settings(**{**CLEAN, "background": background, "inverted": 1.0, "monotone": 0.0})
    found = contrasts.randomised(IMAGE, chosen, rng(2))
    assert (found[:2].max() < 0.05) == bool(background)


@pytest.mark.parametrize("image", [np.zeros((16, 16)), np.full((16, 16), 0.7), np.eye(16)])
def test_slices_with_hardly_anything_on_them_pass(image):
    for seed in range(12):
        assert np.isfinite(contrasts.randomised(image.astype(np.float32), settings(), rng(seed))).all()


def test_sources_are_normalised_by_themselves_as_the_contrasts_are():
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    together, alone = regression.as_seen(0.2 + 0.3 * images), regression.as_seen(images[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)
    assert together.amin() == 0 and together.amax() == 1


def test_training_sees_every_slice_in_a_contrast_of_its_own(quiet):
    chosen = settings(batch_size=4)
    batches, seen = Batches(phantom(4, 1), chosen, seed=0), regression.RandomContrasts(chosen)
    first, again, later = (seen(batches.at(step, "cpu")) for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)


def training(quiet, folder, **changes):
    model = DiffusionModel.new(settings(width=8, batch_size=1, affine=0.0, **changes), 1)
    run = Run(1, "cpu", folder, quiet)
    return regression.RegressionTraining(model, phantom(2, 1), lambda batch: batch.clean, run, None), model


@pytest.mark.parametrize(("loss", "wanted"), [("l1", 0.3 + 2 * 0.0), ("l2", 0.09)])
def test_the_loss_is_that_of_values_and_of_their_differences(loss, wanted, quiet, tmp_path, monkeypatch):
    job, model = training(quiet, tmp_path, loss=loss, gradient_weight=2.0, structure_weight=0.0)
    batch = job.batches.at(0, "cpu")
    monkeypatch.setattr(regression, "raw", lambda model, seen: model.inside(batch.clean) + 0.3)
    assert job._losses(model, batch).item() == pytest.approx(wanted, rel=1e-4)
    stripes = torch.arange(32) % 2 * 0.5
    monkeypatch.setattr(regression, "raw", lambda model, seen: model.inside(batch.clean) + stripes)
    value, slope = (0.25, 0.5) if loss == "l1" else (0.125, 0.25)
    assert job._losses(model, batch).item() == pytest.approx(value + 2 * slope, rel=1e-4)


@pytest.mark.parametrize(("scale", "wanted"), [(0.2, 1.0), (0.9, 1.0), (-0.4, -1.0), (0.0, 0.0)])
def test_local_correlation_minds_neither_level_nor_strength(scale, wanted):
    image = torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(0))
    found = regression.local_correlation(image, 0.5 + scale * image)
    assert found.shape == image.shape
    assert found.mean().item() == pytest.approx(wanted, abs=0.03)


def test_what_local_correlation_lacks_counts_as_much_as_is_asked(monkeypatch, quiet, tmp_path):
    found = {}
    for weight in (0.0, 0.5):
        job, model = training(quiet, tmp_path, structure_weight=weight)
        batch = job.batches.at(0, "cpu")
        monkeypatch.setattr(regression, "raw", lambda model, seen, batch=batch: -model.inside(batch.clean))
        found[weight] = job._losses(model, batch)
    correlation = regression.local_correlation(1 - batch.clean, batch.clean).flatten(1).mean(1)
    torch.testing.assert_close(found[0.5] - found[0.0], 0.5 * (1 - correlation))


def test_the_mirror_image_is_averaged_in(monkeypatch):
    model = DiffusionModel.new(settings(width=8, mirrored=True), 1)
    torch.manual_seed(0)
    images = torch.rand(2, 1, 16, 16)
    found = regression.regressed(model.__class__(model.settings, model.network.eval(), model.process), images)
    torch.testing.assert_close(found.flip(-1), regression.regressed(model, images.flip(-1)), atol=1e-5, rtol=0)


def test_more_than_all_functions_are_refused():
    with pytest.raises(UserError, match="monotone 0.8 and inverted 0.5 are more than 1 together"):
        validated(CLS.Config, {"monotone": 0.8, "inverted": 0.5}, "test")


@pytest.mark.parametrize(("mirrored", "evaluations"), [(True, 2), (False, 1)])
def test_regression_says_how_often_it_evaluates(mirrored, evaluations):
    assert settings(mirrored=mirrored).sampling_steps == evaluations
    assert settings(form="diffusion", mirrored=mirrored).sampling_steps == 25


# -- what it learns -------------------------------------------------------------------------------------------------
GREYS = np.array([0.3, 0.6, 0.95], np.float32)


def stripes(count, seed):
    """Tissues [N, 1, 16, 16], 0 to 2 from left to right; where one ends is drawn for each slice, borders lean."""
    generator = rng(seed)
    rows, columns = np.mgrid[:16, :16] - 7.5
    first, second = generator.uniform(-6, -1, (count, 1, 1)), generator.uniform(0, 6, (count, 1, 1))
    lean = generator.uniform(-0.25, 0.25, (2, count, 1, 1))
    return ((columns > first + lean[0] * rows).astype(int) + (columns > second + lean[1] * rows))[:, None]


def trained(folder, **changes):
    """On contrasts that are functions of the grey levels and nothing else."""
    chosen = {**CLEAN, "preset": "short", "width": 8, "batch_size": 8, "affine": 0.0, "flip": 0.0, "snapshots": 0}
    method = CLS(CLS.Config(**{**chosen, "learning_rate": 8e-3, **changes}))
    method.fit(TrainData(GREYS[stripes(40, 0)]), Run(1, "cpu", folder, Progress(quiet=True)))
    return method


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """Trained once for the tests below."""
    fast = {"iterations": 200, "loss": "l2", "gradient_weight": 0.0, "mirrored": False}
    return trained(tmp_path_factory.mktemp("state"), **fast)


def translated(method, table):
    """New slices with these greys in place of the target's, translated; the slices, and their tissues."""
    tissues = stripes(12, 1)
    source = np.array(table, np.float32)[tissues]
    found = method.translate(source, [ImageGenerator.of(1, str(place)) for place in range(12)])
    return found, source, tissues


def mistaken(method, table):
    """Share of each tissue's pixels that are off by 0.12."""
    found, _, tissues = translated(method, table)
    return [float((np.abs(found - GREYS[tissues]) > 0.12)[tissues == tissue].mean()) for tissue in range(3)]


@pytest.mark.parametrize("table", [(0.3, 0.6, 0.95), (0.9, 0.2, 0.5), (0.5, 1.0, 0.1), (0.2, 0.9, 0.4)])
def test_any_one_to_one_contrast_is_translated_to_the_noise_floor(translator, table):
    assert max(mistaken(translator, table)) < 0.15


def test_tissues_of_the_same_grey_cannot_be_told_apart(translator):
    """The border between them is not in the source: part of one tissue is taken for the other; the third is found."""
    first, second, third = mistaken(translator, (0.9, 0.4, 0.4))
    assert first < 0.05
    assert max(second, third) > 0.17


@pytest.mark.slow
def test_the_diffusion_learns_to_translate_contrasts_too(tmp_path):
    method = trained(tmp_path, form="diffusion", iterations=100, sampling_steps=5)
    for table in ((0.9, 0.2, 0.5), (0.5, 1.0, 0.1), (0.2, 0.9, 0.4)):
        found, source, tissues = translated(method, table)
        assert error_beside_copying(found, source, GREYS[tissues]) < 0.4
