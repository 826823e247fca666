"""Regression and flow matching: published sizes, losses, toys with known answers, resuming."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch

from tests.paired import job, made, pairs, whole_and_interrupted
from xmodbench.learning.gan.batches import Batch
from xmodbench.plugins import METHODS, Supervision, TrainData, find
from xmodbench.seeding import ImageGenerator

NAMES = ("unet_regression", "flow_matching")
for name in NAMES:
    find(METHODS, name)
from xmodbench_methods.flow_matching.flow import euler, on_the_way  # noqa: E402
from xmodbench_methods.flow_matching.game import FlowGame, VelocityNetwork, translated  # noqa: E402
from xmodbench_methods.unet_regression.game import RegressionGame, network_of  # noqa: E402


def resolved(name, **options):
    return find(METHODS, name).cls.Config(**options).resolved()


def generators(n):
    return [ImageGenerator.of(1, str(k)) for k in range(n)]


def batch(seed=0):
    torch.manual_seed(seed)
    return Batch(2 * torch.rand(2, 1, 32, 32) - 1, 2 * torch.rand(2, 1, 32, 32) - 1)


# -- what is published -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_presets_resolve_to_complete_settings(name):
    config = find(METHODS, name).cls.Config
    for preset in config.PRESETS:
        missing = {key for key, value in config(preset=preset).resolved() if value is None}
        assert missing == {"iterations"} - {"iterations" if preset == "short" else ""}, (preset, missing)
    assert find(METHODS, name).cls.supervision is Supervision.PAIRED


def test_networks_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        found = {
            ("regression", preset): network_of(resolved("unet_regression", preset=preset)) for preset in ("l1", "yoda")
        }
        for preset in ("released_noise", "released_source"):
            found["flow", preset] = VelocityNetwork(resolved("flow_matching", preset=preset))
    assert {key: sum(p.numel() for p in network.parameters()) for key, network in found.items()} == {
        ("regression", "l1"): 8_949_761,  # the released MIDiffusion network with one input
        ("regression", "yoda"): 53_497_089,
        ("flow", "released_noise"): 2_328_737,
        ("flow", "released_source"): 2_328_449,
    }


def test_flow_matchings_released_options():
    s = resolved("flow_matching", preset="released_noise")
    assert (s.learning_rate, s.last_rate, s.batch_size, s.epochs, s.ema, s.flip) == (3e-4, 1e-6, 6, 300, 0, 0)
    assert (s.data_range, s.time_scale, s.sampling_steps) == ("0,1", 1, 300)
    game = FlowGame(s.model_copy(update={"network": "small", "width": 8}), "cpu")
    rates = [game.rate("network", 10 * epoch + 9, 10) for epoch in (0, 150, 299)]
    expected = [3e-4, (3e-4 + 1e-6) / 2, 1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * 299 / 300)) / 2]
    assert rates == pytest.approx(expected, rel=1e-9)


# -- losses ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("loss", "adversarial"), [("l1", 0.01), ("l1", 0.0), ("l2", 0.0)])
def test_a_step_of_regression(loss, adversarial):
    torch.manual_seed(0)
    game, b = (
        RegressionGame(made("unet_regression", loss=loss, adversarial=adversarial).settings.resolved(), "cpu"),
        batch(),
    )
    n = copy.deepcopy(game.networks)
    found = {key: value.item() for key, value in game.step(b, 1).items()}
    game.follow(0)
    answer = n["network"](b.source)
    error = (answer - b.target).abs().mean() if loss == "l1" else ((answer - b.target) ** 2).mean()
    expected, total = {"error": error.item(), "adversarial": 0.0, "judge": 0.0}, error
    if adversarial:
        judge = n["judge"]
        scores = [judge(torch.cat([b.source, image], 1)) for image in (b.target, answer.detach())]
        judged = 0.5 * (((scores[0] - 1) ** 2).mean() + (scores[1] ** 2).mean())
        optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.5, 0.999))
        judged.backward()
        optimizer.step()
        fooled = ((judge(torch.cat([b.source, answer], 1)) - 1) ** 2).mean()
        total = error + adversarial * fooled
        expected |= {"adversarial": fooled.item(), "judge": judged.item()}
    assert found == pytest.approx(expected, rel=1e-4)
    before = copy.deepcopy(n["network"].state_dict())
    optimizer = torch.optim.AdamW(n["network"].parameters(), lr=2e-3, weight_decay=0.01)
    total.backward()
    optimizer.step()
    key = "unet.conv_in.weight"
    torch.testing.assert_close(game.networks["network"].state_dict()[key], n["network"].state_dict()[key])
    average = game.translator.state_dict()[key]  # after the first step it has gone nine tenths of the way
    torch.testing.assert_close(average, 0.1 * before[key] + 0.9 * n["network"].state_dict()[key])


@pytest.mark.parametrize("path", ["noise", "source"])
def test_a_velocity_of_zero_costs_the_squared_length_of_the_paths(path):
    game, b = FlowGame(resolved("flow_matching", preset=f"released_{path}"), "cpu"), batch()
    torch.manual_seed(5)  # the released network answers 0 at first
    error = game.step(b, 1)["error"].item()
    torch.manual_seed(5)
    torch.rand(2)
    start = torch.randn(b.source.shape) if path == "noise" else (b.source + 1) / 2
    assert error == pytest.approx((((b.target + 1) / 2 - start) ** 2).mean().item(), rel=1e-6)


# -- flows with known answers --------------------------------------------------------------------------------------------
A, B, SIGMA = 0.7, -0.2, 0.3  # target = A source + B + SIGMA noise


def exact(t, x, s):
    """The mean velocity at `x` of straight paths from N(0, 1) to N(A s + B, SIGMA^2), a regression of normal numbers."""
    mean = A * s + B
    return mean + (t * SIGMA**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * SIGMA**2) * (x - t * mean)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.8])
def test_the_best_answer_to_the_loss_is_the_exact_velocity(t):
    torch.manual_seed(0)
    s, noise = torch.randn(2, 400_000, dtype=torch.float64)
    target = A * s + B + SIGMA * torch.randn_like(s)
    x, wanted = on_the_way(noise[:, None], target[:, None], torch.full_like(s, t))
    design = torch.stack([x[:, 0], s, torch.ones_like(s)], 1)
    found = torch.linalg.lstsq(design, wanted).solution[:, 0]
    at = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    values = exact(t, at[:, 0], at[:, 1])
    expected = torch.stack([values[0] - values[2], values[1] - values[2], values[2]])
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_one_step_gives_the_mean_and_many_the_distribution():
    torch.manual_seed(0)
    noise, s = torch.randn(20_000, dtype=torch.float64), 1.5
    mean = A * s + B
    at_once = euler(lambda x, t: exact(t, x, s), noise, 1)
    torch.testing.assert_close(at_once, torch.full_like(noise, mean))
    found = euler(lambda x, t: exact(t, x, s), noise, 400)
    assert found.mean().item() == pytest.approx(mean, abs=0.01)
    assert found.std().item() == pytest.approx(SIGMA, rel=0.03)


def test_one_step_from_the_source_gives_the_mean():
    s = torch.linspace(-1, 1, 9)
    velocity = A * s + B - s  # at time 0, where a path's place says which source it began at
    torch.testing.assert_close(euler(lambda x, t: velocity, s, 1), A * s + B)


@pytest.mark.parametrize(("path", "steps"), [("noise", 1), ("noise", 4), ("source", 3)])
def test_evaluations_are_the_steps_and_see_the_time(path, steps):
    settings = made("flow_matching", path=path).settings.resolved()
    network, seen = VelocityNetwork(settings), []
    network.forward = lambda x, t: seen.append((x.shape[1], float(t[0]))) or x[:, :1]
    translated(network, torch.zeros(2, 1, 8, 8), lambda: torch.zeros(2, 1, 8, 8), steps)
    assert seen == [(2 if path == "noise" else 1, pytest.approx(1000 * k / steps)) for k in range(steps)]


# -- training ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "options"), [("unet_regression", {"adversarial": 0.0}), ("flow_matching", {"sampling_steps": 4})]
)
def test_learns_a_turned_contrast(name, options, tmp_path, quiet):
    method = made(name, iterations=60, batch_size=4, learning_rate=1e-2, checkpoint_s=300, snapshots=0, **options)
    method.fit(pairs(24), job(tmp_path, quiet))
    unseen = pairs(4, 2)
    found = method.translate(unseen.source, generators(4))
    assert ((found - unseen.target) ** 2).mean() < 0.12 * ((unseen.source - unseen.target) ** 2).mean()


def test_the_squared_error_leads_to_the_mean(tmp_path, quiet):
    source = np.full((8, 1, 8, 8), 0.5, np.float32)
    target = np.zeros_like(source)
    target[::2] = 1
    method = made(
        "unet_regression", loss="l2", adversarial=0.0, iterations=40, batch_size=8, snapshots=0, checkpoint_s=300
    )
    method.fit(TrainData(target, source), job(tmp_path, quiet))
    np.testing.assert_allclose(method.translate(source[:1], generators(1)), 0.5, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_training_ends_with_the_same_bits(name, tmp_path, quiet):
    _, found, resumed = whole_and_interrupted(name, pairs(), (2, 5), tmp_path, quiet)
    assert found == resumed
    assert {"model.safetensors", "loss.csv", "snapshots/step-3.png"} <= set(found)


def test_a_pair_is_augmented_as_one_and_never_parted(tmp_path, quiet):
    method, seen = made("unet_regression", flip=0.5, zoom=1.2, iterations=4), []
    data = pairs()
    game = method.game

    def watched(settings, device):
        found = game(settings, device)
        step = found.step
        found.step = lambda batch, seed: seen.append(batch) or step(batch, seed)
        return found

    method.game = watched
    method.fit(TrainData(data.target, 0.5 * data.target), job(tmp_path, quiet))
    for one in seen:
        torch.testing.assert_close((one.source + 1) / 2, (one.target + 1) / 4, atol=1e-6, rtol=0)


def test_steps_are_chosen_in_translation_and_noise_is_each_slices_own(tmp_path, quiet):
    method = made("flow_matching")
    method.fit(pairs(), job(tmp_path, quiet))
    (tmp_path / "m").mkdir()
    method.save(tmp_path / "m")
    assert "sampling_steps" not in json.loads((tmp_path / "m" / "model.json").read_text())["settings"]
    assert type(method).translation_settings == {"sampling_steps"}
    source = np.repeat(pairs(1, 2).source, 3, axis=0)
    own = [ImageGenerator.of(1, name) for name in ("a", "b", "a")]
    found = {}
    for steps in (1, 4):
        again = made("flow_matching", sampling_steps=steps)
        again.load(tmp_path / "m", job(tmp_path, quiet))
        found[steps] = again.translate(source, [ImageGenerator(one.seed) for one in own])
        assert np.array_equal(found[steps][0], found[steps][2])
        assert not np.array_equal(found[steps][0], found[steps][1])
    assert not np.array_equal(found[1], found[4])


def test_from_the_source_nothing_is_drawn(tmp_path, quiet):
    method = made("flow_matching", path="source", iterations=2, snapshots=0)
    method.fit(pairs(), job(tmp_path, quiet))
    source = np.repeat(pairs(1, 2).source, 2, axis=0)
    found = method.translate(source, [ImageGenerator.of(1, name) for name in ("a", "b")])
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_trains(name, tmp_path, quiet):
    method, full = made(name, iterations=1, precision="bf16", snapshots=0), made(name, iterations=1, snapshots=0)
    method.fit(pairs(), job(tmp_path / "half", quiet))
    full.fit(pairs(), job(tmp_path / "full", quiet))
    found, expected = (np.array(one.model.log.rows) for one in (method, full))
    assert (found != expected).any(), "nothing ran in half precision"
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.02)
