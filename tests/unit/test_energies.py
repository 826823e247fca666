"""Energies of structure: against other implementations, gradients by finite differences, and what they must not mind."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from xmodbench.learning.energies.gradients import gradient_correlation_energy, image_gradients, ngf_energy
from xmodbench.learning.energies.lmi import lmi_energy, local_mutual_information
from xmodbench.learning.energies.mind import mind, mind_energy
from xmodbench.plugins import METHODS, find

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion.lmi import lmi_scores  # noqa: E402

ENERGIES = {
    "lmi": partial(lmi_energy, window=5, bins=6, bandwidth=0.1, stride=1),
    "mind": partial(mind_energy, neighbours=4, sigma=0.8, distance=1),
    "mind8": partial(mind_energy, neighbours=8, sigma=0.5, distance=2),
    "ngf": partial(ngf_energy, edge=0.5),
    "gradient_correlation": gradient_correlation_energy,
}
every_energy = pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)


def images(count, height, width, seed=0):
    return torch.rand(count, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("window", "bins", "bandwidth"), [(3, 27, 8.0), (5, 9, 24.0)])
def test_lmi_is_that_of_midiffusion_without_its_search(window, bins, bandwidth):
    """The middle one of its scores, grey levels not quantised; at the borders too."""
    one, other = images(2, 9, 7)[:, None]
    options = {"window": window, "bins": bins, "bandwidth": bandwidth, "search": "shift", "quantise": "none"}
    scores = lmi_scores(one, other, marginals="from-joint", **options)
    found = local_mutual_information(one, other, window, bins, bandwidth / 255)
    torch.testing.assert_close(found[:, 0], scores[..., scores.shape[-1] // 2], atol=1e-6, rtol=0)


def test_lmi_nears_that_of_hard_histograms_as_the_bandwidth_shrinks():
    """Grey levels at the centres of bins; mutual information by scikit-learn, both entropies are its own with itself."""
    levels = np.random.default_rng(0).integers(0, 4, (2, 5, 5))
    one, other = (torch.from_numpy(level / 3.0)[None, None] for level in levels)
    gaps = []
    for bandwidth in (0.2, 0.1, 0.03):
        found = local_mutual_information(one, other, 5, 4, bandwidth)[0, 0, 2, 2].item()
        a, b = (level.ravel() for level in levels)
        want = 2 * mutual_info_score(a, b) / (mutual_info_score(a, a) + mutual_info_score(b, b))
        gaps.append(abs(found - want))
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-6


def test_windows_may_be_apart():
    one, other = images(2, 12, 10)[:, None]
    near, far = (local_mutual_information(one, other, 3, 8, 0.1, stride) for stride in (1, 3))
    torch.testing.assert_close(far, near[..., ::3, ::3])


@every_energy
def test_gradients_equal_finite_differences(energy):
    one, other = images(2, 6, 5, seed=3)[:, None]
    assert torch.autograd.gradcheck(lambda y: energy(one, y), other.requires_grad_(), eps=1e-6, atol=1e-6)


@every_energy
def test_images_of_equal_structure_have_less_energy_whatever_their_contrast(energy):
    """An image and itself inverted, against another; none is below 0."""
    one, other = images(2, 24, 24)[:, None]
    same, inverted, strange = (energy(one, image).item() for image in (one, 1 - one, other))
    assert -1e-9 <= same <= strange
    assert inverted < 0.8 * strange
    if energy is not ENERGIES["lmi"]:
        assert inverted == pytest.approx(same, abs=1e-9)


@every_energy
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_images_have_finite_energies_and_gradients(energy, dtype):
    flat, some = torch.full((1, 1, 8, 8), 0.3, dtype=dtype), images(1, 8, 8).to(dtype)
    for one, other in ((flat, some), (some, flat), (flat, flat)):
        y = other.clone().requires_grad_()
        value = energy(one, y)
        (gradient,) = torch.autograd.grad(value.sum(), y)
        assert value.isfinite().all() and gradient.isfinite().all()


@every_energy
def test_each_image_of_a_batch_has_its_own(energy):
    one, other = images(3, 9, 8, seed=1), images(3, 9, 8, seed=2)
    whole = energy(one, other)
    assert whole.shape == (3,)
    torch.testing.assert_close(whole[1:2], energy(one[1:2], other[1:2]))


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.5), (7.0, -3.0), (-1.0, 1.0), (-0.05, 0.2)])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_mind_is_the_same_for_scaled_shifted_and_inverted_images(a, b, neighbours):
    image = images(2, 12, 9)
    image[..., 5:] = 0.5  # flat, where the variance is limited
    torch.testing.assert_close(mind(a * image + b, neighbours), mind(image, neighbours), atol=1e-9, rtol=0)


def test_mind_written_out_pixel_by_pixel():
    """Inside: weighted squared differences of patches, over their mean; the largest of a pixel is 1."""
    image, sigma = images(1, 12, 12)[0, 0].numpy(), 0.5
    offsets = np.arange(-1, 2)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    found = mind(torch.from_numpy(image)[None, None], 8, sigma)[0].numpy()
    neighbours = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    for i, j in ((3, 4), (6, 6), (8, 5)):
        patches = {(r, c): image[i + r - 1 : i + r + 2, j + c - 1 : j + c + 2] for r in (-1, 0, 1) for c in (-1, 0, 1)}
        distance = {at: (weights * (patches[at] - patches[0, 0]) ** 2).sum() for at in neighbours}
        variance = np.mean([distance[at] for at in ((-1, 0), (1, 0), (0, -1), (0, 1))])
        want = np.exp(-np.array([distance[at] for at in neighbours]) / variance)
        np.testing.assert_allclose(found[:, i, j], want / want.max(), atol=1e-9)


def test_gradient_fields_tell_directions_apart():
    """Of a ramp down and one to the right: parallel, 0; at right angles, all but what the edge parameter leaves."""
    down = torch.linspace(0, 1, 16, dtype=torch.float64)[None, None, :, None].expand(1, 1, 16, 16)
    right = down.transpose(2, 3)
    assert torch.allclose(image_gradients(down)[:, 0, 1:-1], torch.tensor(1 / 15, dtype=torch.float64))
    assert ngf_energy(down, -3 * down, 0.5).item() == pytest.approx(0, abs=1e-9)
    assert ngf_energy(down, right, 0.01).item() > 0.99
    assert gradient_correlation_energy(down, -3 * down).item() == pytest.approx(0.5, abs=1e-6)  # nothing to the right
