"""The blur of slices: OpenCV's kernel as imgaug 0.4.0 chooses it, in training and, where asked for, in translation."""

from __future__ import annotations

import numpy as np
import pytest

from xmodbench.learning.diffusion.batches import Batches
from xmodbench.learning.diffusion.blur import blurred, kernel_size
from xmodbench.learning.diffusion.plugin import augment
from xmodbench.learning.diffusion.settings import RELEASED
from xmodbench.plugins import METHODS, find
from xmodbench.seeding import ImageGenerator

IMAGE = np.random.default_rng(0).random((24, 17), dtype=np.float32)


def by_hand(image: np.ndarray, sigma: float, size: int) -> np.ndarray:
    """Every pixel as the weighted sum of its neighbourhood, in double precision."""
    half = size // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(image.astype(float), half, mode="reflect")  # the border pixel itself is not repeated
    rows, columns = image.shape
    return np.array(
        [[(padded[i : i + size, j : j + size] * weights).sum() for j in range(columns)] for i in range(rows)]
    )


@pytest.mark.parametrize(("sigma", "size"), [(0.01, 5), (0.7, 5), (1.5, 5), (1.75, 5), (1.85, 7), (2.0, 7)])
def test_blur_is_the_sum_over_a_kernel_cut_off_early(sigma, size):
    assert kernel_size(sigma) == size
    np.testing.assert_allclose(blurred(IMAGE, sigma), by_hand(IMAGE, sigma, size), atol=3e-7)


@pytest.mark.parametrize(
    ("sigma", "row", "column"),
    [  # OpenCV's GaussianBlur of a single 1 at (0, 1), BORDER_REFLECT_101: first row and first column
        (
            2.0,
            [0.082428, 0.075028, 0.056376, 0.028326, 0.015162, 0, 0, 0, 0],
            [0.082428, 0.072743, 0.049995, 0.026761, 0, 0, 0, 0],
        ),
        (1.5, [0.136625, 0.120384, 0.068312, 0.035073, 0, 0, 0, 0, 0], [0.136625, 0.1094, 0.056168, 0, 0, 0, 0, 0]),
    ],
)
def test_blur_at_the_border_is_opencvs(sigma, row, column):
    image = np.zeros((8, 9), np.float32)
    image[0, 1] = 1
    found = blurred(image, sigma)
    np.testing.assert_allclose(found[0], row, atol=1e-6)
    np.testing.assert_allclose(found[:, 0], column, atol=1e-6)


@pytest.mark.parametrize(("sigma", "effective"), [(1.5, 1.195), (2.0, 1.641)])
def test_blur_spreads_less_than_its_sigma(sigma, effective):
    image = np.zeros((1, 31), np.float32)
    image[0, 15] = 1
    found = blurred(np.repeat(image, 31, 0), sigma)[15]
    assert np.sqrt((found * (np.arange(31) - 15) ** 2).sum()) == pytest.approx(effective, abs=1e-3)


def test_hardly_any_sigma_is_no_blur():
    assert blurred(IMAGE, 9e-4) is IMAGE


def test_training_slices_are_blurred_so():
    settings = find(METHODS, "midiffusion").cls.Config(preset="released", blur=1.0, flip=0.0).resolved()
    batch = Batches(IMAGE[None, None], settings, seed=2).at(0, "cpu")
    candidates = np.linspace(0, 2, 2001)[1:]
    for found in batch.clean[:, 0].numpy():
        differences = [np.abs(blurred(IMAGE, sigma) - found).max() for sigma in candidates]
        sigma = candidates[int(np.argmin(differences))]
        np.testing.assert_allclose(found, by_hand(IMAGE, sigma, kernel_size(sigma)), atol=1e-3)


def test_test_slices_are_blurred_so():
    settings = find(METHODS, "sdedit").cls.Config(preset="released", blur=1.0, flip=1.0).resolved()
    sigma = 2 * ImageGenerator(5).numpy.random(3)[2]
    found, flipped = augment(IMAGE, ImageGenerator(5), settings)
    assert flipped
    np.testing.assert_allclose(found, by_hand(IMAGE[:, ::-1], sigma, kernel_size(sigma)), atol=3e-7)


def test_only_forms_of_the_released_code_blur():
    assert RELEASED["blur"] == 0.5
    for name in ("midiffusion", "sdedit"):
        config = find(METHODS, name).cls.Config
        blurring = {preset for preset in config.PRESETS if config(preset=preset).resolved().blur}
        assert blurring == {"released", "released_consistent"}
