"""Guidance by an energy: the step in closed form, time travel, and a toy that it must solve."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.learning.diffusion.guided import Guidance, guided_step, sample_guided
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.samplers import sample_ancestral, times
from xmodbench.learning.diffusion.schedules import linear_vp
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.settings import validated

PLUGIN = find(METHODS, "energy_guidance").cls
SIZE = 16


def model_of(answer, steps=40, start=1.0):
    """A model that predicts the clean image: `answer` of the noisy one and its times, in [-1, 1]."""
    settings = SimpleNamespace(
        prediction="x0", data_range="-1,1", clip_x0=False, precision="fp32", weights="fp32", timesteps=1000
    )
    settings.sampling_steps, settings.spacing, settings.start = steps, "uniform", start
    return DiffusionModel(settings, answer, linear_vp())


def noise_of(seed, count=1, size=SIZE):
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((count, 1, size, size), generator=rng)


def gaussian(x, t):
    """The best prediction where pixels are independent with mean 0 and variance 1: a linear one."""
    return linear_vp().signal[t].reshape(-1, 1, 1, 1) * x


@pytest.mark.parametrize("rule", ["dps", "freedom"])
def test_a_step_in_closed_form(rule):
    """Prediction ``a x`` and an energy that is the mean squared distance from a wish, in units of [0, 1]."""
    model, t, after = model_of(gaussian), 400, 0.5
    x, wish = noise_of(1)(), torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    a = model.process.signal[t].item()
    now, pixels = a**2, SIZE**2

    def energy(clean):
        return ((clean - wish) ** 2).mean((1, 2, 3))

    def step(strength):
        guidance = Guidance(rule, strength, eta=0.0)
        return guided_step(model, x, t, (now, after), energy, guidance, None)

    clean, eps = a * x, (x - a * a * x) / (1 - now) ** 0.5
    free = after**0.5 * clean + (1 - after) ** 0.5 * eps
    torch.testing.assert_close(step(0.0), free, atol=1e-5, rtol=1e-5)
    difference = (clean + 1) / 2 - wish
    gradient = 2 * difference * a / 2 / pixels
    if rule == "dps":
        want = gradient * pixels / (difference**2).sum().sqrt()
    else:
        reach = after**0.5 * (1 - now / after) / (1 - now) * ((1 - now) / now) ** 0.5 * eps.square().mean().sqrt()
        want = reach * gradient / gradient.square().mean().sqrt()
    torch.testing.assert_close(free - step(0.3), 0.3 * want, atol=1e-5, rtol=1e-4)


def test_unguided_it_is_the_ancestral_sampler():
    """DDPM's posterior, with the same noise."""
    model = model_of(gaussian)
    process, grid = model.process, times(1000, 40)

    def denoise(x, t):
        clean = gaussian(x, torch.tensor([t]))
        return clean, process.clean_and_eps("x0", clean, x, torch.tensor([t]))[1]

    noise = noise_of(3)
    want = model.outside(sample_ancestral(denoise, process, grid, noise(), noise=noise, variance="fixedsmall"))
    found = sample_guided(model, noise_of(3), lambda clean: clean.mean((1, 2, 3)), Guidance(strength=0.0))
    torch.testing.assert_close(found, want.clamp(0, 1), atol=1e-4, rtol=0)


def test_steps_are_guided_and_taken_again_where_asked_for():
    """Of ten steps, at 1000, 900, ... 100 thousandths: guided from 0.8 on and above 0.3, thrice down to above 0.5."""
    seen, guided = [], []

    def answer(x, t):
        seen.append(int(t[0]) + 1)
        return gaussian(x, t)

    def energy(clean):
        guided.append(seen[-1])
        return (clean**2).mean((1, 2, 3))

    guidance = Guidance(window=(0.3, 0.8), repeats=3, travel=(0.5, 0.9))
    sample_guided(model_of(answer, steps=10), noise_of(1), energy, guidance)
    assert seen == [1000, 900, *[800] * 3, *[700] * 3, *[600] * 3, 500, 400, 300, 200, 100]
    assert guided == [*[800] * 3, *[700] * 3, *[600] * 3, 500, 400]


def test_time_travel_leaves_the_noise_level_as_it_was():
    """Where the prediction is right for independent pixels of variance 1, every image of the chain has that too."""
    stds = []

    def answer(x, t):
        stds.append(x.std().item())
        return gaussian(x, t)

    guidance = Guidance(strength=1e-9, repeats=3, travel=(0.0, 1.0), eta=0.0)
    sample_guided(model_of(answer, steps=50), noise_of(1, 4, 32), lambda clean: (clean**2).mean((1, 2, 3)), guidance)
    assert len(stds) == 49 * 3 + 1
    assert all(abs(std - 1) < 0.06 for std in stds)


# -- a toy: which of a few target images has the structure of a source whose contrast is inverted ------------------------
def discs():
    """Target images [8, 1, SIZE, SIZE]: bright discs at eight places, dim elsewhere."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    places = [(4, 4), (4, 11), (11, 4), (11, 11), (8, 4), (4, 8), (8, 11), (11, 8)]
    return torch.stack([0.2 + 0.6 * ((y - i) ** 2 + (x - j) ** 2 < 10) for i, j in places])[:, None].float()


def ideal(x, t):
    """The best prediction for these images: their mean, each weighted by how likely it makes the noisy one."""
    known, process = 2 * discs() - 1, linear_vp()
    signal, noise = process.signal[t].reshape(-1, 1, 1, 1, 1), process.noise[t].reshape(-1, 1, 1, 1, 1)
    distance = ((x[:, None] - signal * known) ** 2).sum((2, 3, 4)) / (2 * noise[:, 0, 0, 0] ** 2)
    return (torch.softmax(-distance, 1)[:, :, None, None, None] * known).sum(1)


LMI = {"energy": "lmi", "rule": "dps", "guided_from": 1.0, "lmi_bandwidth": 0.1, "lmi_bins": 8, "lmi_stride": 1}
"""Not freedom: where the prediction is still a mean of many images, LMI is as glad of a dark disc, and steps of a fixed
length go that way."""


@pytest.mark.parametrize(
    "settings",
    [
        {**LMI, "strength": 3.0},
        {**LMI, "strength": 3.0, "repeats": 2, "travel_from": 1.0, "travel_below": 0.2},
        {"energy": "mind", "guided_from": 1.0, "strength": 2.0},
        {"energy": "ngf", "guided_from": 1.0, "strength": 2.0},
        {"energy": "gradient_correlation", "guided_from": 1.0, "strength": 6.0},
    ],
    ids=lambda settings: "-".join(str(settings[name]) for name in ("energy", "repeats") if name in settings),
)
def test_a_source_of_inverted_contrast_leads_to_the_target_of_its_structure(settings):
    """Eight sources, of which chance would find one."""
    sources, model = 1 - discs(), model_of(ideal, steps=30)

    def found(**options):
        images = PLUGIN(PLUGIN.Config(**options)).draw(model, sources, noise_of(5, 8))
        distance = (images[:, None] - discs()[None]).abs().mean((2, 3, 4))
        return int((distance.argmin(1) == torch.arange(8)).sum())

    assert found(**settings) >= 7
    assert found(strength=0.0) <= 3


def test_it_may_begin_from_the_source():
    """Noised to the time asked for."""
    seen = []

    def answer(x, t):
        seen.append((int(t[0]), x))
        return gaussian(x, t)

    source, model = 1 - discs()[:1], model_of(answer, steps=10, start=0.5)
    method = PLUGIN(PLUGIN.Config(start=0.5, strength=0.0))
    method.draw(model, source, noise_of(1))
    t, x = seen[0]
    assert t == 499 and len(seen) == 5
    want = model.process.diffuse(2 * source - 1, torch.tensor([499]), noise_of(1)())
    torch.testing.assert_close(x, want)


def test_replayed_evaluations_are_not_used():
    """They have no gradients."""
    model = replace(model_of(gaussian, steps=3))
    model.evaluations = lambda *arguments: pytest.fail("a replayed evaluation")
    PLUGIN(PLUGIN.Config()).draw(model, 1 - discs()[:1], noise_of(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lmi_window": 8}, "lmi_window must be odd, 8 is not"),
        ({"guided_from": 0.2, "guided_below": 0.5}, r"guided_from \(0.2\) must be above guided_below \(0.5\)"),
        ({"travel_from": 0.3}, r"travel_from \(0.3\) must be above travel_below \(0.4\)"),
        ({"energy": "mi"}, "energy"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        validated(PLUGIN.Config, settings, "test")
