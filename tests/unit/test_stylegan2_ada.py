"""Adaptive augmentation: what the pipeline does to images, its draws, its derivatives, and the controller."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.stylegan2 import tiny
from xmodbench.learning.gan.losses import r1
from xmodbench.learning.stylegan2 import resampling
from xmodbench.learning.stylegan2.ada import Controller
from xmodbench.learning.stylegan2.augment import augment, colours, maps
from xmodbench.learning.stylegan2.discriminator import Discriminator


def smooth(n=4, size=32, seed=0):
    torch.manual_seed(seed)
    return functional.interpolate(torch.randn(n, 1, 4, 4), size=size, mode="bicubic")


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("low_pass", [True, False])
def test_probability_zero_changes_nothing(size, low_pass):
    torch.manual_seed(0)
    x = torch.randn(5, 1, size, size)  # noise holds every frequency
    found = augment(x, 0.0, "bgc", low_pass)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-4)


def test_filters_keep_an_image_up_and_down_again():
    x = torch.randn(2, 1, 12, 10)
    wide = functional.pad(x, (3, 3, 3, 3))
    torch.testing.assert_close(resampling.halve(resampling.double(wide)), x, rtol=0, atol=1e-5)
    assert sum(resampling.SYM6) == pytest.approx(math.sqrt(2), abs=1e-10)
    for shift in range(2, 12, 2):  # orthonormal to its even shifts
        assert sum(a * b for a, b in zip(resampling.SYM6[shift:], resampling.SYM6, strict=False)) == pytest.approx(
            0, abs=1e-9
        )


# The filter's centre of mass lies 0.4 of its taps off the middle: up and down cancel, but not around a turn. Images between
# -2.5 and 2.5 may therefore differ by this much.
FILTER_ERROR = 0.1


@pytest.mark.parametrize("low_pass", [True, False])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(turns, low_pass):
    x = smooth()
    angle = torch.full((4,), turns * math.pi / 2)
    found = resampling.warp(x, resampling.rotation(x, angle), low_pass)
    # from x towards y with y pointing down is clockwise for the eye; places in the result are sought in the image
    torch.testing.assert_close(found, x.rot90(turns, (2, 3)), rtol=0, atol=FILTER_ERROR if low_pass else 1e-4)


@pytest.mark.parametrize("low_pass", [True, False])
def test_integer_shifts_and_flips_are_exact(low_pass):
    x = torch.randn(3, 1, 32, 32)
    three, two = torch.full((3,), 3.0), torch.full((3,), 2.0)
    found = resampling.warp(x, resampling.translation(x, -three, two), low_pass)
    torch.testing.assert_close(found[..., :30, 3:], x[..., 2:, :-3], rtol=0, atol=1e-4)
    # beyond the border: mirrored
    torch.testing.assert_close(found[..., :30, :3], x[..., 2:, 1:4].flip(-1), rtol=0, atol=1e-4)
    found = resampling.warp(smooth(), resampling.scaling(x, -torch.ones(4), 1.0), low_pass)
    torch.testing.assert_close(found, smooth().flip(-1), rtol=0, atol=FILTER_ERROR if low_pass else 1e-4)


@pytest.mark.parametrize("low_pass", [True, False])
def test_scaling_reads_where_the_map_says(low_pass):
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    ramp = (x + 3 * y)[None, None]
    found = resampling.warp(ramp, resampling.scaling(ramp, torch.tensor([0.5]), torch.tensor([0.25])), low_pass)
    wanted = (0.5 * x + 0.75 * y)[None, None]
    # 0.15 pixels of a ramp that rises by 1.25 in a pixel
    torch.testing.assert_close(found[..., 4:-4, 4:-4], wanted[..., 4:-4, 4:-4], rtol=0, atol=0.19 if low_pass else 1e-3)


def test_luma_flip_is_negation(monkeypatch):
    x = torch.randn(64, 1, 8, 8)
    monkeypatch.setattr(torch, "randn", lambda *shape, **options: torch.zeros(*shape))  # brightness 0, contrast 1
    factor, summand = colours(x, 1.0)
    y = x * factor + summand
    negated = (y == -x).flatten(1).all(1)
    assert ((y == x).flatten(1).all(1) | negated).all() and 16 < negated.sum() < 48


def test_grey_levels_are_drawn_as_published():
    torch.manual_seed(0)
    x = torch.zeros(20_000, 1, 1, 1)
    factor, summand = (value.flatten() for value in colours(x, 1.0))
    assert factor.abs().log2().std().item() == pytest.approx(0.5, rel=0.05)
    assert (summand / factor).std().item() == pytest.approx(0.2, rel=0.05)
    factor, summand = (value.flatten() for value in colours(x, 0.3))
    # brightness is untouched with 1 - p; the factor with (1 - p) (1 - p / 2), as a flip happens to half of them
    assert (summand == 0).float().mean().item() == pytest.approx(0.7, abs=0.02)
    assert (factor == 1).float().mean().item() == pytest.approx(0.7 * 0.85, abs=0.02)


def test_geometry_is_drawn_as_published():
    torch.manual_seed(0)
    x = torch.zeros(20_000, 1, 64, 64)
    inverse = maps(x, 1.0)
    determinant = inverse[:, :2, :2].det()
    assert (determinant < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)  # flips
    # the anisotropic part keeps areas, so that the determinant is the square of the isotropic factor
    assert (determinant.abs().log2() / 2).std().item() == pytest.approx(0.2, rel=0.05)
    singular = torch.linalg.svdvals(inverse[:, :2, :2])
    assert ((singular[:, 0] / singular[:, 1]).log2() / 2).square().mean().sqrt().item() == pytest.approx(0.2, rel=0.05)
    few = maps(x, 0.3)[:, :2, :2]
    assert ((few.det().abs() - 1).abs() < 1e-5).float().mean().item() == pytest.approx(0.7, abs=0.02)
    assert torch.equal(maps(x[:5], 0.0), torch.eye(3).expand(5, 3, 3))


def test_shifts_are_drawn_as_published(monkeypatch):
    x = torch.zeros(20_000, 1, 64, 64)
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", lambda *shape, **options: torch.zeros(*shape))
        shift = maps(x, 1.0)[:, :2, 2]  # the integer shift, turned by quarters only in the image's frame
    assert torch.allclose(shift, shift.round(), atol=1e-4) and shift.abs().max().item() == pytest.approx(8)
    assert shift.std().item() == pytest.approx(8 / math.sqrt(3), rel=0.05)


def test_own_sampler_agrees_with_torch_twice_differentiated():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 7, 9, dtype=torch.float64, requires_grad=True)
    grid = 2.4 * torch.rand(2, 5, 6, 2, dtype=torch.float64) - 1.2
    results = []
    for sampler in (resampling.sample_native, resampling.sample_gathered):
        y = sampler(x, grid)
        (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        results.append((y, first, second))
    for native, gathered in zip(*results, strict=True):
        torch.testing.assert_close(gathered, native)


def test_the_fallback_is_chosen_where_torch_cannot_differentiate_twice(monkeypatch):
    def refuses(x, grid):
        raise RuntimeError("not differentiable")

    resampling.sampler_on.cache_clear()
    assert resampling.sampler_on("cpu") is resampling.sample_native
    monkeypatch.setattr(resampling, "sample_native", refuses)
    resampling.sampler_on.cache_clear()
    assert resampling.sampler_on("cpu") is resampling.sample_gathered
    resampling.sampler_on.cache_clear()


@pytest.mark.parametrize("low_pass", [True, False])
def test_r1_through_the_augmentation_is_the_finite_difference(low_pass):
    torch.manual_seed(0)
    network = Discriminator(tiny().resolved(16)).double()
    x, direction = torch.randn(2, 2, 1, 16, 16, dtype=torch.float64)

    def score(images):
        torch.manual_seed(1)  # the same draws each time
        return network(augment(images, 0.8, "bgc", low_pass))

    images = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(images).sum(), images)
    h = 1e-5
    slope = (score(x + h * direction).sum() - score(x - h * direction).sum()) / (2 * h)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-4)
    penalty = r1(score, x)
    assert penalty.item() == pytest.approx(gradient.square().sum().item() / 2)
    # and its own gradient by a weight
    weight = network.conv.weight
    (found,) = torch.autograd.grad(penalty, weight)
    step = h * torch.randn_like(weight)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
        values.append(r1(score, x).item())
        with torch.no_grad():
            weight -= sign * step
    assert (found * step).sum().item() == pytest.approx((values[0] - values[1]) / 2, rel=1e-3)


def test_controller_follows_the_signs():
    controller = Controller(0.6, batch_size=8, kimg=1.0, device="cpu")
    change = 8 * 4 / 1000

    def four_steps(first, *scores):
        for step, score in zip(range(first, first + 4), scores * (4 // len(scores)), strict=True):
            before = controller.p
            controller.observe(torch.full((8,), score))
            controller.adjust(step)
            assert step == first + 3 or controller.p == before  # moves after the fourth, by all four
        return controller.p

    assert four_steps(0, 1.0) == pytest.approx(change)  # all real: more
    assert four_steps(4, 2.0) == pytest.approx(2 * change)
    assert four_steps(8, -2.0) == pytest.approx(change)  # none: less
    assert four_steps(12, 3.0, 1.0, 1.0, -1.0) == pytest.approx(0)  # a mean sign of 0.5: below the target
    for first in (16, 20):
        assert four_steps(first, -1.0) == 0
    for first in range(24, 24 + 4 * 40, 4):
        four_steps(first, 1.0)
    assert controller.p == 1


def test_geometry_is_drawn_in_the_published_order(monkeypatch):
    """The maps against the product of eight matrices written out, for known draws."""
    draws = {"rand": [], "randn": []}
    real = {name: getattr(torch, name) for name in draws}
    for name, kept in draws.items():
        monkeypatch.setattr(
            torch, name, lambda *shape, name=name, kept=kept: kept.append(real[name](*shape)) or kept[-1]
        )
    torch.manual_seed(0)
    x = torch.zeros(6, 1, 32, 64, dtype=torch.float64)
    found = maps(x, 1.0)

    uniform, normal = iter(draws["rand"]), iter(draws["randn"])

    def value(stream):  # what is drawn for an operation, and whether it happens: always, with p = 1
        drawn, _ = next(stream).double(), next(uniform)
        return drawn

    flip, quarter, shift = value(uniform), value(uniform), value(uniform)
    isotropic, before = value(normal), value(uniform)
    anisotropic, after = value(normal), value(uniform)
    fraction = value(normal)
    width, height = 64, 32
    for row in range(6):
        turns = [2 * math.pi * t - math.pi for t in (before[row].item(), after[row].item())]
        steps = [
            diagonal(1 - 2 * math.floor(2 * flip[row]), 1),
            turned(math.pi / 2 * math.floor(4 * quarter[row])),
            moved(*(-torch.round((0.25 * shift[row] - 0.125) * torch.tensor([width, height]))).tolist()),
            diagonal(*2 * [2 ** (-0.2 * isotropic[row].item())]),
            turned(turns[0]),
            diagonal(2 ** (-0.2 * anisotropic[row].item()), 2 ** (0.2 * anisotropic[row].item())),
            turned(turns[1]),
            moved(-0.125 * fraction[row, 0].item() * width, -0.125 * fraction[row, 1].item() * height),
        ]
        expected = torch.linalg.multi_dot([torch.tensor(step, dtype=torch.float64) for step in steps])
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-4)


def diagonal(x, y):
    return [[x, 0, 0], [0, y, 0], [0, 0, 1]]


def turned(angle):
    return [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]


def moved(x, y):
    return [[1, 0, x], [0, 1, y], [0, 0, 1]]
