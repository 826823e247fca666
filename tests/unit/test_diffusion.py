"""Noise schedules, networks and samplers against published constants and a model whose answer is known exactly."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xmodbench.learning.diffusion import plugin, samplers
from xmodbench.learning.diffusion.batches import Batches, _times
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.networks import DenoisingNetwork
from xmodbench.learning.diffusion.samplers import ancestral_std, image_noise, sample, times
from xmodbench.learning.diffusion.schedules import continuous_vp, geometric_ve, linear_vp
from xmodbench.learning.diffusion.settings import RELEASED, VE_SAMPLERS, VP_SAMPLERS
from xmodbench.learning.diffusion.training import learning_rate
from xmodbench.seeding import ImageGenerator

REST = {"precision": "fp32", "weights": "fp32", "spacing": "uniform", "samples": 1}  # the same in every preset


def settings(**changes):
    return SimpleNamespace(**{**RELEASED, **REST, **changes})


@pytest.mark.parametrize(
    ("preset", "inputs", "parameters"),
    [("ddpm", 3, 8_950_913), ("ddpm", 1, 8_949_761), ("adm", 3, 21_423_169)],
)
def test_networks_have_the_released_numbers_of_parameters(preset, inputs, parameters):
    network = DenoisingNetwork(preset, inputs)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("t", "wanted"),
    [
        (0, [2.02313, 2.1755, 2.62926, 1.33163, 1.37087]),
        (437, [2.02013, 2.13353, 2.6297, 1.31749, 1.38666]),
        (999, [2.00581, 2.00063, 2.61814, 1.31591, 1.43134]),
    ],
)
def test_the_network_answers_as_the_released_one_with_the_same_weights(t, wanted):
    """Five pixels that the authors' module gave; the weights follow a rule that does not depend on the order of modules."""
    network = DenoisingNetwork("ddpm", 3).eval()
    for weights in network.parameters():
        count, columns = weights.numel(), weights.numel() // len(weights)
        wave = torch.sin(12.9898 * torch.arange(count, dtype=torch.float64) + count)
        values = 0.7 + 0.3 * wave if weights.ndim == 1 else 1.5 / columns**0.5 * wave
        weights.data.copy_(values.reshape(weights.shape))
    i = torch.arange(128, dtype=torch.float64)
    x = torch.stack([torch.sin(0.11 * (k + 1) * i)[:, None] * torch.cos(0.07 * (k + 2) * i) for k in range(3)])[None]
    with torch.inference_mode():
        found = network(x.float(), torch.tensor([t]))[0, 0]
    pixels = [(0, 0), (0, 127), (63, 40), (100, 90), (127, 127)]
    assert [found[place].item() for place in pixels] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("rate", "kept", "of_clean", "of_noisy", "variance"),
    [  # the released SynDiff's four steps, printed by its code; FGDM's, by the same formulas
        (
            20,
            [0.521745, 0.078676, 0.0034289, 4.319e-5],
            [1, 0.665778, 0.269191, 0.0578215],
            [0, 0.201576, 0.193001, 0.1118523],
            [0, 0.440819, 0.884202, 0.984061],
        ),
        (
            1,
            [0.948125, 0.849868, 0.720206, 0.577008],
            [1, 0.672140, 0.502687, 0.398911],
            [0, 0.327132, 0.493956, 0.592064],
            [0, 0.035808, 0.081865, 0.131518],
        ),
    ],
)
def test_steps_of_the_continuous_schedule(rate, kept, of_clean, of_noisy, variance):
    process = continuous_vp(4, 0.1, rate)
    assert (process.signal**2).tolist() == pytest.approx(kept, rel=2e-5)
    found = [part.flatten().tolist() for part in process.posterior(torch.arange(4), torch.zeros(4, 1, 1, 1))]
    assert found[0] == pytest.approx(of_clean, abs=2e-6)
    assert found[1] == pytest.approx(of_noisy, abs=2e-6)
    assert [std**2 for std in found[2]] == pytest.approx(variance, abs=2e-6)


def test_pairs_are_one_step_apart():
    """Without noise: the signal left at both times; at time 0 the earlier image is the clean one."""
    process, clean, t = continuous_vp(4, 0.1, 1), torch.ones(4, 1, 2, 2), torch.arange(4)
    earlier, later = process.pair(clean, t, 0 * clean, 0 * clean)
    torch.testing.assert_close(later[:, 0, 0, 0], process.signal)
    torch.testing.assert_close(earlier[:, 0, 0, 0], torch.cat([torch.ones(1), process.signal[:-1]]))
    torch.testing.assert_close(process.back(clean, later, t, 0 * clean), earlier)  # the posterior knows it


@pytest.mark.parametrize("rate", [1, 20])
def test_the_posterior_leads_back_to_the_distribution_it_came_from(rate):
    torch.manual_seed(0)
    process, clean = continuous_vp(4, 0.1, rate), torch.full((200_000, 1, 1, 1), 0.8, dtype=torch.float64)
    for number in range(4):
        t, noise = torch.full((len(clean),), number), [torch.randn_like(clean) for _ in range(4)]
        earlier, later = process.pair(clean, t, noise[0], noise[1])
        for one, other in (
            (later, process.diffuse(clean, t, noise[2])),
            (process.back(clean, later, t, noise[3]), earlier),
        ):
            assert one.mean().item() == pytest.approx(other.mean().item(), abs=0.01)
            assert one.std().item() == pytest.approx(other.std().item(), abs=0.01)


def test_an_ancestral_step_is_a_draw_from_the_posterior():
    process, rng = continuous_vp(4, 0.1, 1), torch.Generator().manual_seed(0)
    clean, x, noise = (torch.randn(1, 1, 4, 4, generator=rng) for _ in range(3))
    for t in range(4):
        of_clean, of_noisy, std = process.posterior(torch.tensor([t]), x)

        def denoise(noisy, time):
            return process.clean_and_eps("x0", clean, noisy, torch.full((len(noisy),), time))

        seen = []
        samplers.sample_ancestral(
            lambda noisy, time: seen.append(noisy) or denoise(noisy, time),  # noqa: B023
            *(process, list(range(t, -1, -1)), x),
            noise=lambda: noise,
            variance="fixedsmall",
        )
        if t:
            torch.testing.assert_close(seen[1], of_clean * clean + of_noisy * x + std * noise, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (9, 8)])
def test_networks_take_any_size(size):
    network = DenoisingNetwork("small", 3, base=8).eval()
    assert network(torch.zeros(2, 3, *size), torch.tensor([0, 999])).shape == (2, 1, *size)


def test_adm_network_begins_by_answering_zero():
    network = DenoisingNetwork("adm", 1, base=32).eval()
    assert network(torch.randn(1, 1, 32, 32), torch.tensor([5])).abs().max() == 0


def test_vp_schedule_is_the_released_one():
    kept = linear_vp().signal.double() ** 2
    published = {0: 0.9999, 99: 0.8970, 199: 0.6590, 299: 0.3964, 399: 0.1951, 499: 0.0786, 699: 0.00697}
    for t, value in published.items():
        assert kept[t].item() == pytest.approx(value, rel=1e-3)
    assert kept[999].item() == pytest.approx(4.0358e-5, rel=1e-4)
    sigma = linear_vp().noise / linear_vp().signal
    assert [sigma[t].item() for t in (0, 299, 999)] == pytest.approx([0.0100, 1.234, 157.4], rel=1e-3)


def test_ancestral_noise_is_the_released_one():
    kept = [float(linear_vp().signal[t].double() ** 2) for t in range(999, -1, -1)] + [1.0]
    assert ancestral_std(kept, 999, "fixedlarge") == pytest.approx(0.0073846, rel=1e-4)
    assert ancestral_std(kept, 0, "fixedlarge") == pytest.approx(0.02**0.5, rel=1e-4)
    assert ancestral_std(kept, 998, "fixedlarge") ** 2 == pytest.approx(1e-4 + 0.0199 / 999, rel=1e-3)
    assert ancestral_std(kept, 998, "fixedsmall") ** 2 == pytest.approx(5.453e-5, rel=1e-3)
    assert ancestral_std(kept, 999, "fixedsmall") == pytest.approx(1e-10)
    respaced = [float(linear_vp().signal[t].double() ** 2) for t in times(1000, 100)] + [1.0]
    assert ancestral_std(respaced, 99, "fixedsmall") == pytest.approx(1e-10)
    assert ancestral_std(respaced, 99, "fixedlarge") == pytest.approx(ancestral_std(respaced, 98, "fixedsmall"))


@pytest.mark.parametrize(("final_noise", "added"), [(True, 1), (False, 0)])
def test_euler_maruyama_is_the_papers_algorithm(final_noise, added):
    """In every iteration x becomes x + e s + sqrt(e) z, e the fall of the variance, s the score; in the last one too."""
    process, t = geometric_ve(10, 0.1, 3.0), [9, 6, 0]
    sigma = [3.0, 0.1 * 30 ** (6 / 9), 0.1, 0.0]
    x = np.array([0.5, -2.0])
    own = torch.tensor(x)[None, None, None]
    drawn = [0.3, -1.1, 0.8]
    for i in range(3):
        e = sigma[i] ** 2 - sigma[i + 1] ** 2
        score = (MEAN - x) / (SPREAD**2 + sigma[i] ** 2)  # of N(MEAN, SPREAD^2) with noise
        x = x + e * score + e**0.5 * drawn[i] * (i < 2 or added)
    numbers = iter(drawn)

    def denoise(x, at):
        eps = -process.noise[at] * (MEAN - x) / (SPREAD**2 + process.noise[at] ** 2)
        return x - process.noise[at] * eps, eps

    found = samplers.sample_euler_maruyama(
        denoise, process, t, own, noise=lambda: next(numbers), final_noise=final_noise
    )
    np.testing.assert_allclose(found[0, 0, 0], x, rtol=1e-5)


def test_ancestral_step_equals_that_of_diffusers():
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_start=1e-4, beta_end=0.02, variance_type="fixed_large", clip_sample=False)
    scheduler.set_timesteps(1000)
    x, eps, z = torch.randn(3, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    own = samplers.sample_ancestral(lambda x, t: (None, eps), linear_vp(), [500, 499], x, noise=lambda: z)
    mean = scheduler.step(eps, 500, x, generator=torch.Generator().manual_seed(1)).prev_sample
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    std = ancestral_std([float(linear_vp().signal[t].double() ** 2) for t in (500, 499)] + [1.0], 0, "fixedlarge")
    first = mean - std * drawn + std * z
    kept = float(linear_vp().signal[499].double() ** 2)
    torch.testing.assert_close(own, (first - (1 - kept) ** 0.5 * eps) / kept**0.5, atol=2e-4, rtol=0)


MEAN, SPREAD = 0.3, 0.2


class Exact(torch.nn.Module):
    """The best possible eps-network for images whose pixels are independent N(MEAN, SPREAD^2)."""

    def __init__(self, process):
        super().__init__()
        self.process = process

    def forward(self, x, t):
        x = x[:, :1] / self.process.input_scale(t, x)
        a, s = self.process.levels(t, x)
        return s * (x - a * MEAN) / (a**2 * SPREAD**2 + s**2)


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        ("ancestral", 1000),
        ("ancestral", 250),
        ("ddim", 250),
        ("dpmpp_2m", 80),
        ("unipc", 80),
        ("heun", 80),
        ("euler_maruyama", 500),
        ("euler", 100),
        # steps of floating-point numbers would give a time too many, -1
        ("dpmpp_2m", 61),
        ("unipc", 61),
        ("heun", 61),
        ("euler", 103),
        ("ancestral", 244),
        ("euler_maruyama", 484),
    ],
)
@pytest.mark.parametrize("start", [None, 400])
def test_samplers_reach_the_known_distribution(sampler, steps, start):
    process = linear_vp() if sampler in VP_SAMPLERS else geometric_ve(sigma_max=30.0)
    assert sampler in VP_SAMPLERS + VE_SAMPLERS
    model = DiffusionModel(
        settings(sampler=sampler, sampling_steps=steps, final_noise=False, process=process.kind),
        Exact(process),
        process,
    )
    noise = image_noise([ImageGenerator(k) for k in range(4)], (64, 64), "cpu")
    guide = None
    if start is not None:  # a guide from the very distribution must come out as one
        guide = MEAN + SPREAD * noise()
    calls = []

    def outside(x):
        calls.append(x)
        return x

    model.outside = outside
    found = sample(model, lambda noisy: None, noise, guide, start)
    result = calls[-1]  # before it is clipped to [0, 1]
    assert torch.equal(found, result.clamp(0, 1))
    assert result.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert result.std().item() == pytest.approx(SPREAD, rel=0.05)


@pytest.mark.parametrize("sampler", ["ancestral", "dpmpp_2m", "unipc", "heun", "euler_maruyama", "euler"])
def test_samplers_reach_it_on_noise_levels_spaced_by_karras(sampler):
    process = linear_vp() if sampler in VP_SAMPLERS else geometric_ve(sigma_max=30.0)
    steps = {"ancestral": 500, "euler_maruyama": 500}.get(sampler, 60)
    chosen = settings(sampler=sampler, sampling_steps=steps, spacing="karras", final_noise=False, process=process.kind)
    model = DiffusionModel(chosen, Exact(process), process)
    found = []
    model.outside = lambda x: found.append(x) or x
    sample(model, lambda noisy: None, image_noise([ImageGenerator(k) for k in range(4)], (64, 64), "cpu"))
    assert found[-1].mean().item() == pytest.approx(MEAN, abs=0.01)
    assert found[-1].std().item() == pytest.approx(SPREAD, rel=0.08)


@pytest.mark.parametrize("process", [linear_vp(), geometric_ve(), linear_vp(100)])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 100])
def test_times_by_karras_are_the_nearest_to_his_noise_levels(process, steps):
    """Against the equation written out: rho-th roots of the levels evenly spaced between both ends."""
    levels = (process.noise.double() / process.signal.double()).numpy()
    first, last = levels[-1] ** (1 / 7), levels[0] ** (1 / 7)
    wanted = [(first + i / max(steps - 1, 1) * (last - first)) ** 7 for i in range(steps)]
    grid = samplers.karras_times(process, steps)
    nearest = [int(np.abs(np.log(levels) - np.log(level)).argmin()) for level in wanted]
    assert grid == list(dict.fromkeys(nearest))
    assert grid[0] == process.length - 1
    assert grid == sorted(set(grid), reverse=True)
    assert samplers.karras_times(process, steps, start=40) == ([t for t in grid if t < 40] or [0])


@pytest.mark.parametrize("augment_test", [False, True])
def test_translation_is_the_mean_of_the_samples(augment_test):
    """The first is the one that is drawn alone; each image's are its own, whatever the batch."""
    source = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    drawn = []

    def draw(model, images, noise):
        drawn.append(images + noise())
        return drawn[-1]

    def translated(samples, rows=slice(None)):
        process = linear_vp()
        asked = settings(samples=samples, augment_test=augment_test, flip=1.0, blur=0.0)
        model = DiffusionModel(asked, torch.nn.Conv2d(1, 1, 1), process)
        generators = [ImageGenerator(seed) for seed in (5, 6)][rows]
        drawn.clear()
        return plugin.translate(model, source[rows], generators, draw)

    alone = translated(1)
    found = translated(4)
    assert len(drawn) == 2 * 4
    own = torch.stack(drawn[:4]).mean(0).numpy()[0]
    np.testing.assert_allclose(found[0], own[..., ::-1] if augment_test else own, atol=1e-6)
    np.testing.assert_array_equal(alone[0], drawn[0].numpy()[0][..., ::-1] if augment_test else drawn[0].numpy()[0])
    assert np.abs(found - source).mean() < 0.7 * np.abs(alone - source).mean(), "noise averages out"
    np.testing.assert_array_equal(translated(4, slice(1, 2))[0], found[1])


@pytest.mark.parametrize("sampler", VP_SAMPLERS)
def test_condition_sees_images_of_the_scale_of_training(sampler):
    process, seen = linear_vp(), []
    model = DiffusionModel(settings(sampler=sampler, sampling_steps=20), Exact(process), process)
    sample(model, lambda noisy: seen.append(float(noisy.std())), image_noise([ImageGenerator(0)], (64, 64), "cpu"))
    assert seen[0] == pytest.approx(1, abs=0.05)
    assert max(seen) < 1.1  # a solver's own variable reaches a hundred


def test_clipping_keeps_the_estimate_in_range():
    process = linear_vp()
    for data_range, low in (("0,1", 0), ("-1,1", -1)):
        model = DiffusionModel(settings(clip_x0=True, data_range=data_range, prediction="eps"), Exact(process), process)
        clean, eps = samplers.denoiser(model, lambda noisy: None)(torch.randn(1, 1, 32, 32) * 3, 200)
        assert low <= clean.min() <= clean.max() <= 1
        assert torch.isfinite(eps).all()


@pytest.mark.parametrize("prediction", ["eps", "v", "x0", "score"])
@pytest.mark.parametrize("kind", ["vp", "ve"])
def test_every_prediction_leads_back_to_image_and_noise(prediction, kind):
    process = linear_vp() if kind == "vp" else geometric_ve(sigma_max=5.0)
    clean, eps = torch.rand(3, 1, 8, 8), torch.randn(3, 1, 8, 8)
    t = torch.tensor([3, 400, 800])
    x = process.diffuse(clean, t, eps)
    back, noise = process.clean_and_eps(prediction, process.target(prediction, clean, t, eps), x, t)
    torch.testing.assert_close(back, clean, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(noise, eps, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("length", [1, 2, 50, 100, 999, 1000])
def test_as_many_times_as_steps_whatever_their_number(length):
    for steps in range(1, length + 1):
        found = times(length, steps)
        assert len(found) == steps == len(set(found))
        assert found[0] == length - 1 and found[-1] >= 0 and found == sorted(found, reverse=True)
        exact = [length - i * length / steps - 1 for i in range(steps)]
        assert max(abs(t - e) for t, e in zip(found, exact, strict=True)) <= 0.5 + 1e-9
        assert times(length, steps, start=1 + length // 3) == ([t for t in found if t <= length // 3] or [0])


def test_times_start_at_the_top_and_respect_the_start():
    assert times(1000, 1000) == list(range(999, -1, -1))
    assert times(1000, 4) == [999, 749, 499, 249]
    assert times(1000, 10, start=400) == [399, 299, 199, 99]


def test_antithetic_times_come_in_pairs():
    t = _times(9, 1000, True, torch.Generator().manual_seed(0))
    assert len(t) == 9
    assert torch.equal(t[5:], 999 - t[:4])


def test_batches_depend_on_the_step_alone_and_split_over_processes():
    images = np.random.default_rng(0).random((10, 1, 8, 8), dtype=np.float32)
    options = settings(batch_size=4, blur=0.5)
    whole = Batches(images, settings(batch_size=8, blur=0.5), seed=3).at(7, "cpu")
    parts = [Batches(images, options, seed=3, rank=rank, world=2).at(7, "cpu") for rank in (0, 1)]
    for name in ("clean", "index", "flipped", "t", "eps"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))
    epoch = Batches(images, settings(batch_size=5), seed=3)
    assert sorted(torch.cat([epoch.at(step, "cpu").index for step in (0, 1)]).tolist()) == list(range(10))


def test_one_cycle_rises_and_falls():
    options = settings(lr_schedule="one-cycle", learning_rate=1.0)
    rates = [learning_rate(options, step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 15
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02
    assert learning_rate(settings(), 50, 100) == RELEASED["learning_rate"]
