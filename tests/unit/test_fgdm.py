"""FGDM: edges of shapes whose edges are known, the four steps, the judge, and the losses of both."""

from __future__ import annotations

import math
from types import SimpleNamespace

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

CLS = find(METHODS, "fgdm").cls
from xmodbench_methods.fgdm.edges import bilateral, edge_maps, source_edges  # noqa: E402
from xmodbench_methods.fgdm.game import GameTraining, judge_loss, training_edges  # noqa: E402

TINY = {"preset": "short", "width": 8, "judge_width": 4, "judge_blocks": 3, "batch_size": 3, "iterations": 6}


def edges(image, sigma=9, threshold=5):
    images = torch.as_tensor(image, dtype=torch.float32)[None, None]
    return edge_maps(images, torch.tensor([float(sigma)]), torch.tensor([float(threshold)]))[0, 0].numpy()


def test_a_step_has_the_two_columns_beside_it():
    """The filter leaves it alone (200 levels are more than 20 sigmas); derivatives of 800 are cut off at 255."""
    image = np.zeros((16, 16))
    image[:, 8:] = 200 / 255
    found = edges(image)
    assert np.array_equal(found, np.isin(np.arange(16), (7, 8))[None].repeat(16, 0))


@pytest.mark.parametrize(("slope", "threshold", "wanted"), [(1, 5, 0.0), (1, 4, 1.0), (2, 5, 1.0)])
def test_a_ramp_has_an_edge_everywhere_or_nowhere(slope, threshold, wanted):
    """A ramp of n grey levels a pixel has the derivative 8 n, and half of that is compared with the threshold."""
    image = np.arange(24)[None].repeat(16, 0) * slope / 255
    found = edges(image, sigma=1, threshold=threshold)
    assert (found[:, 8:16] == wanted).all()


def test_weak_edges_are_told_from_strong_ones():
    image = np.zeros((16, 32))
    image[:, 8:], image[:, 20:] = 100 / 255, 120 / 255
    found = edges(image, sigma=1)
    assert found[:, 7:9].min() == 1
    assert found[:, 19:21] == pytest.approx(round(80 / 2) / round(255 / 2), abs=0.01)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_nothing_has_no_edges(level):
    assert not edges(np.full((16, 12), level)).any()


def test_the_bilateral_filter_is_its_formula():
    grey = 255 * torch.rand(2, 1, 8, 7, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([4.0, 60.0])
    found = bilateral(grey, sigma)
    for b, row, column in ((0, 4, 3), (1, 0, 6), (1, 7, 0)):
        mirrored = np.pad(grey[b, 0].numpy(), 5, mode="reflect")
        total = weights = 0.0
        for i in range(-5, 6):
            for j in range(-5, 6):
                if math.hypot(i, j) <= 5:
                    near = mirrored[5 + row + i, 5 + column + j]
                    exponent = (near - grey[b, 0, row, column].item()) ** 2 + i * i + j * j
                    weight = math.exp(-exponent / (2 * sigma[b].item() ** 2))
                    total, weights = total + weight * near, weights + weight
        assert found[b, 0, row, column].item() == pytest.approx(total / weights, rel=1e-4)


def test_sources_are_always_seen_alike_and_slices_are_not():
    images = phantom(3, 1)
    settings = CLS.Config(**TINY).resolved()
    batches = Batches(images, settings, seed=0)
    first, again, later = (batches.at(step, "cpu") for step in (0, 0, 1))
    assert torch.equal(training_edges(first), training_edges(again))
    assert not torch.equal(first.seeds, later.seeds)
    source = torch.from_numpy(images)
    assert torch.equal(source_edges(source), edge_maps(source, torch.full((3,), 9.0), torch.full((3,), 5.0)))


@pytest.mark.parametrize("preset", ["released", "short"])
def test_the_four_steps_never_destroy_the_image(preset):
    settings = CLS.Config(preset=preset).resolved()
    model = DiffusionModel.new(settings.model_copy(update={"network": "small", "width": 8}), 2)
    assert (model.process.signal**2).tolist() == pytest.approx([0.948125, 0.849868, 0.720206, 0.577008], abs=1e-6)
    assert (settings.sampler, settings.sampling_steps, settings.variance) == ("ancestral", 4, "fixedsmall")
    assert (settings.data_range, settings.begin, settings.form) == ("0,1", "source", "gan")
    assert (settings.l1 == 0) == (preset == "released")


def training(quiet, tmp_path, **changes):
    settings = CLS.Config(**{**TINY, **changes}).resolved()
    torch.manual_seed(0)
    model = DiffusionModel.new(settings, 2)
    return GameTraining(model, phantom(4, 1), training_edges, Run(3, "cpu", tmp_path, quiet), None)


class Linear(torch.nn.Module):
    """Scores an image by the sum of its pixels, three times."""

    def forward(self, earlier, t, later):
        return 3 * earlier.sum((1, 2, 3))


def test_the_judges_loss_and_penalty_are_their_formulas():
    real, fake = torch.full((2, 1, 2, 2), 0.25), torch.full((2, 1, 2, 2), -0.5)
    loss, penalty = judge_loss(Linear(), real, fake, real, torch.zeros(2, dtype=torch.int64), 0.05)
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    assert loss.item() == pytest.approx(softplus(-3) + softplus(-6), rel=1e-5)
    assert penalty.item() == pytest.approx(0.05 / 2 * 4 * 9, rel=1e-6)  # four pixels of slope 3


def test_a_step_moves_both_players_and_only_once_each(quiet, tmp_path):
    game = training(quiet, tmp_path)
    before = [[p.clone() for p in net.parameters()] for net in (game.model.network, game.judge)]
    values = game.step(0)
    assert len(values) == len(game.columns) and all(torch.isfinite(value) for value in values)
    for weights, net in zip(before, (game.model.network, game.judge), strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert game.optimizer.param_groups[0]["lr"] == game.settings.learning_rate
    game.step(game.steps)
    for optimizer in (game.optimizer, game.judge_optimizer):  # both fall to the same (authors' code: 1e-5)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(game.settings.learning_rate / 15)


def test_the_error_beside_the_judge_counts_as_much_as_is_asked(quiet, tmp_path):
    """With a judge that never learns, only a weighted error can bring the clean images nearer."""
    found = {}
    for weight in (0.0, 10.0):
        game = training(quiet, tmp_path, judge_rate=1e-12, l1=weight, iterations=16, learning_rate=1e-2)
        found[weight] = np.mean([[value.item() for value in game.step(step)] for step in range(16)][-4:], axis=0)[1]
    assert found[10.0] < 0.7 * found[0.0]


def test_a_game_that_is_put_back_goes_on_with_the_same_bits(quiet, tmp_path):
    whole, cut = training(quiet, tmp_path), training(quiet, tmp_path)
    for step in range(3):
        whole.step(step)
    cut.step(0)
    kept = {name: tensor.clone() for name, tensor in cut.tensors().items()}
    other = training(quiet, tmp_path)
    other.restore(kept)
    for step in (1, 2):
        other.step(step)
    found, wanted = other.tensors(), whole.tensors()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_what_is_denoised_is_the_noised_source(monkeypatch):
    from xmodbench.learning.diffusion import samplers

    guides = []
    monkeypatch.setattr(samplers, "sample", lambda model, condition, noise, guide: guides.append(guide))
    source = torch.rand(1, 1, 16, 16)
    for begin in ("source", "noise"):
        CLS(CLS.Config()).draw(SimpleNamespace(settings=SimpleNamespace(begin=begin)), source, None)
    assert guides == [source, None]


def test_the_plain_form_is_midiffusions_but_for_the_condition():
    for mine, theirs in (("plain", "released_consistent"), ("short_plain", "short")):
        other = find(METHODS, "midiffusion").cls.Config(preset=theirs).resolved()
        found = CLS.Config(preset=mine).resolved()
        shared = set(type(found).model_fields) & set(type(other).model_fields) - {"preset"}
        assert {name: getattr(found, name) for name in shared} == {name: getattr(other, name) for name in shared}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "ddim"}, "sampler 'ddim' is not for schedule 'continuous' .use ancestral"),
        ({"preset": "plain", "form": "gan"}, "form 'gan' needs process 'vp' and prediction 'x0'"),
        ({"accumulation": 2}, "form 'gan' takes one batch a step"),
        ({"prediction": "eps"}, "network 'ncsnpp', whose answers end at -1 and 1, is for prediction 'x0'"),
        ({"held_out": 0.1}, "form 'gan' has no loss on held-out slices"),
        ({"schedule": "linear"}, "beta_end 1 of a linear schedule must be below 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        validated(CLS.Config, settings, "test")


def test_slices_too_small_for_the_judge_are_refused(quiet, tmp_path):
    with pytest.raises(UserError, match="slices of 32 pixels are too small for 6 halvings"):
        CLS(CLS.Config(**{**TINY, "judge_blocks": 6})).fit(TrainData(phantom(4, 1)), Run(3, "cpu", tmp_path, quiet))


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """Trained on target slices of 16 pixels."""
    small = {"width": 8, "judge_width": 4, "judge_blocks": 2, "batch_size": 8, "snapshots": 0}
    method = CLS(CLS.Config(preset="short", iterations=60, learning_rate=4e-3, **small))
    job = Run(3, "cpu", tmp_path_factory.mktemp("state"), Progress(quiet=True))
    method.fit(TrainData(phantom(24, 1)[..., ::2, ::2].copy()), job)
    return method


@pytest.mark.parametrize("contrast", ["inverted", "dark"])
def test_learns_of_the_target_alone_to_translate_another_contrast(contrast, translator):
    target = phantom(6, 2)[..., ::2, ::2]
    dark = (0.25 * target + 0.1 * (target > 0)).astype(np.float32)
    source = {"inverted": phantom(6, 2, invert=True)[..., ::2, ::2].copy(), "dark": dark}[contrast]
    found = translator.translate(source, [ImageGenerator.of(1, str(place)) for place in range(6)])
    assert error_beside_copying(found, source, target) < 0.5
