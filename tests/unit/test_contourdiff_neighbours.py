"""ContourDiff guided by the slice before: what training shows, and how a volume is translated."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from xmodbench.errors import UserError
from xmodbench.learning.diffusion import plugin
from xmodbench.learning.diffusion.batches import Batches
from xmodbench.learning.diffusion.maps import TrainingMaps
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.validation import fixed_batches
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.settings import validated
from xmodbench.plugins.shape import Shape
from xmodbench.seeding import ImageGenerator, derive_seed

CLS = find(METHODS, "contourdiff").cls
from xmodbench_methods.contourdiff.method import makers  # noqa: E402
from xmodbench_methods.contourdiff.neighbours import NeighbourMaps, one_after_the_other  # noqa: E402

TINY = {"preset": "short", "width": 8, "batch_size": 8, "sampling_steps": 2}


def made(**changes):
    return CLS(validated(CLS.Config, {**TINY, **changes}, "test"))


def ramp(level):
    """A slice that no flip leaves as it is."""
    return np.linspace(0, level, 16, dtype=np.float32) * np.ones((16, 1), np.float32)


VOLUMES = [np.stack([ramp(level) for level in levels])[None] for levels in ([0.1, 0.2, 0.3], [0.5], [0.7, 0.8])]


# -- which slices are neighbours, and what training shows of them ---------------------------------------------------------
def test_slices_of_volumes_know_who_lies_below_and_above():
    slices, beside = one_after_the_other(VOLUMES)
    assert slices[:, 0, 0, -1].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.7, 0.8])
    assert beside.tolist() == [[-1, 1], [0, 2], [1, -1], [-1, -1], [-1, 5], [4, -1]]  # never of another volume


def shown(quiet, volumes, steps=20, held_out=False, **changes):
    """Batches of so many steps, with the neighbour's channel of each."""
    settings = made(**{"neighbour_share": 1.0, **changes}).settings.resolved()
    slices, beside = one_after_the_other(volumes)
    model = DiffusionModel.new(settings, 3)
    model.network.train(not held_out)
    maps = NeighbourMaps(model, makers(settings), slices, beside, quiet)
    batches = Batches(slices, settings, seed=0)
    if held_out:
        made_batches = list(fixed_batches(slices, np.arange(len(slices)), settings, 0, "cpu"))
    else:
        made_batches = [batches.at(step, "cpu") for step in range(steps)]
    return [(batch, maps(batch)) for batch in made_batches], TrainingMaps(makers(settings), slices, settings, quiet)


def test_training_shows_the_slice_below_or_above_flipped_as_the_slice(quiet):
    beside = {0: {0.2}, 1: {0.1, 0.3}, 2: {0.2}, 3: {0.0}, 4: {0.8}, 5: {0.7}}
    found: dict[int, set[float]] = {}
    pairs, contours = shown(quiet, VOLUMES)
    for batch, channels in pairs:
        assert channels.shape == (8, 2, 16, 16)
        assert torch.equal(channels[:, :1], contours(batch))
        images = (channels[:, 1] + 1) / 2  # black is -1 inside the diffusion
        for row, flipped, image in zip(batch.index.tolist(), batch.flipped.tolist(), images, strict=True):
            level = round(float(image.max()), 3)
            found.setdefault(row, set()).add(level)
            torch.testing.assert_close(
                image, torch.from_numpy(ramp(level)).flip(-1 if flipped else ()), atol=1e-6, rtol=0
            )
    assert found == beside


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_neighbours_are_shown_in_the_share_of_cases(quiet, share):
    pairs, _ = shown(quiet, VOLUMES[:1], steps=60, neighbour_share=share)
    given = torch.cat([channels[:, 1].amax((1, 2)) > -1 for _, channels in pairs]).float().mean()
    assert abs(float(given) - share) < 0.06  # of 480


def test_neighbours_are_warped_as_the_slice_is(quiet):
    """Beside a slice that equals it, nothing tells them apart; of slices that are held out neither is warped."""
    same = [np.repeat(VOLUMES[0][:, :1], 3, axis=1)]
    pairs, _ = shown(quiet, same, steps=3, affine=0.7)
    for batch, channels in pairs:
        torch.testing.assert_close(channels[:, 1], 2 * batch.clean[:, 0] - 1)
        assert not torch.equal(batch.clean, batch.clean[:1].expand_as(batch.clean))
    for batch, channels in shown(quiet, same, affine=0.7, held_out=True)[0]:
        torch.testing.assert_close(channels[:, 1], 2 * batch.clean[:, 0] - 1)


# -- translation ----------------------------------------------------------------------------------------------------------
class Follower(nn.Module):
    """A perfect network for slices that are all 0.25 or all 0.75: as the neighbour, or where none is shown, as the noise."""

    inputs = 3

    def __init__(self):
        super().__init__()
        self.register_parameter("of", nn.Parameter(torch.zeros(())))
        self.seen: list[float] = []

    def forward(self, x, t):
        noisy, _, neighbour = x.unbind(1)
        self.seen.append(round(float((neighbour.mean() + 1) / 2), 6))
        black = (neighbour == -1).all()
        level = torch.where(noisy.mean() > 0, 0.5, -0.5) if black else neighbour.mean()
        return torch.full_like(x[:, :1], float(level))


def following(**changes):
    method = made(neighbour_share=0.5, prediction="x0", **changes)
    model = DiffusionModel.new(method.settings.resolved(), 3)
    method.model = replace(model, network=Follower())
    return method


def levels(images):
    assert np.ptp(images, axis=(-2, -1)).max() < 1e-4
    return images[..., 0, 0].round(3)


def test_slices_of_a_volume_agree_where_single_ones_do_not():
    method, volume = following(), np.zeros((1, 1, 6, 16, 16), np.float32)
    guided = [levels(method.translate(volume, [ImageGenerator(seed)])) for seed in range(8)]
    assert {found.shape for found in guided} == {(1, 1, 6)}
    assert all((found == found[..., :1]).all() for found in guided)
    assert {float(found[0, 0, 0]) for found in guided} == {0.25, 0.75}  # volumes differ
    single = following()
    single.volumes = False
    alone = levels(single.translate(volume[0].swapaxes(0, 1), [ImageGenerator(seed) for seed in range(6)]))
    assert set(alone.ravel().tolist()) == {0.25, 0.75}


def test_every_slice_sees_the_one_translated_before_it():
    method = following()
    volume = np.random.default_rng(0).random((1, 1, 3, 16, 16), dtype=np.float32)
    found = levels(method.translate(volume, [ImageGenerator(4)])).ravel()
    assert method.model.network.seen == pytest.approx([0, 0, found[0], found[0], found[1], found[1]], abs=1e-4)
    again = levels(following().translate(volume, [ImageGenerator(4)])).ravel()
    assert (found == again).all()


def test_of_several_first_slices_the_darkest_guides_the_next():
    volume = np.zeros((1, 1, 2, 16, 16), np.float32)
    ones = [levels(following().translate(volume, [ImageGenerator(seed)]))[0, 0, 0] for seed in range(8)]
    method = following(first_candidates=8)
    of_eight = [levels(method.translate(volume, [ImageGenerator(seed)])) for seed in range(8)]
    assert 0.75 in ones
    assert all((found == found[..., :1]).all() for found in of_eight)
    # once stretched, constant slices are all black: the first that was drawn is kept
    assert [found[0, 0, 0] for found in of_eight] == ones
    method._drawn = lambda model, images, noise: next(drawn)
    drawn = iter(torch.tensor([[0.5, 0.9, 1.0], [0.8, 0.81, 1.0], [0.0, 0.5, 1.0]]).reshape(3, 1, 1, 1, 3))
    kept = method._darkest(
        replace(method.model, settings=following(first_candidates=3).settings.resolved()), None, None
    )
    assert kept.flatten().tolist() == pytest.approx([0.8, 0.81, 1.0])  # 0.35 on average, once stretched


def test_a_network_that_ignores_the_neighbour_draws_what_it_draws_without():
    torch.manual_seed(0)
    plain, guided = made(), made(neighbour_share=0.5)
    plain.model, guided.model = (
        DiffusionModel.new(method.settings.resolved(), inputs) for method, inputs in ((plain, 2), (guided, 3))
    )
    weights = plain.model.network.state_dict()
    (first,) = [name for name, value in guided.model.network.state_dict().items() if value.shape != weights[name].shape]
    widened = torch.cat([weights[first], torch.zeros_like(weights[first][:, :1])], 1)
    guided.model.network.load_state_dict({**weights, first: widened})
    for method in (plain, guided):
        method.model.network.eval()
    volume = np.stack([ramp(level) for level in (0.3, 0.9, 0.6)])
    own = [ImageGenerator(derive_seed(5, "slice", place)) for place in range(3)]
    found = guided.translate(volume[None, None], [ImageGenerator(5)])[0, 0]
    np.testing.assert_allclose(found, plain.translate(volume[:, None], own)[:, 0], atol=1e-5)


# -- settings -------------------------------------------------------------------------------------------------------------
def test_only_the_released_form_is_guided_unless_asked_for():
    guided = {preset: Shape.of(CLS(CLS.Config(preset=preset))).volumes for preset in CLS.Config.PRESETS}
    assert guided == {"released": True, "released_consistent": False, "short": False, "own": False}
    assert Shape.of(made(neighbour_share=0.1)).volumes
    assert not Shape.of(CLS(CLS.Config(preset="released", neighbour_share=0))).volumes
    found = CLS.Config(preset="released").resolved()
    assert (found.neighbour_share, found.first_candidates) == (0.2, 1)
    with torch.device("meta"):
        model = DiffusionModel.new(found, 3)
    assert sum(p.numel() for p in model.network.parameters()) == 113_669_761 + 9 * 128  # one more channel, seen by 128


def test_without_a_share_slices_are_trained_on_as_ever(tmp_path, quiet):
    """The same bits whether or not the settings say so, and no third channel."""
    images = np.stack([ramp(level) for level in (0.3, 0.6, 0.9)])[:, None]
    settings = {"iterations": 2, "snapshots": 0}
    weights = []
    for number, share in enumerate(({}, {"neighbour_share": 0.0, "first_candidates": 5})):
        method = made(**settings, **share)
        method.fit(TrainData(images), Run(1, "cpu", tmp_path / str(number), quiet))
        weights.append(method.model.network.state_dict())
    assert method.model.network.inputs == 2
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_flips_of_single_test_slices_are_refused():
    with pytest.raises(UserError, match="augment_test flips single slices, which neighbour_share shows to each other"):
        made(neighbour_share=0.2, augment_test=True)


# -- a toy that only guidance solves --------------------------------------------------------------------------------------
def disc(level, radius):
    rows, columns = np.mgrid[:16, :16] - 7.5
    return (level * np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1)).astype(np.float32)


@pytest.mark.slow
def test_guidance_carries_what_contours_do_not_tell_from_slice_to_slice(tmp_path, quiet):
    """Volumes of discs are dark or bright: contours say where the disc is, only the slice before says which."""
    rng = np.random.default_rng(0)
    train = [np.stack([disc(level, radius) for radius in rng.uniform(4, 6.5, 4)])[None] for level in [0.2, 0.95] * 20]
    method = made(neighbour_share=0.5, iterations=700, sampling_steps=10, snapshots=0)
    method.fit(TrainData(train), Run(1, "cpu", tmp_path, quiet))
    source = [disc(0.6, radius)[None, None] for radius in rng.uniform(4, 6.5, 12)]
    means = {}
    for level in (0.2, 0.95):
        draw = partial(method._drawn, before=disc(level, 5)[None, None])
        found = [plugin.translate(method.model, image, [ImageGenerator(k)], draw) for k, image in enumerate(source)]
        means[level] = [float(image[0, 0, 6:10, 6:10].mean()) for image in found]
    assert np.mean(means[0.2]) < 0.4 and np.mean(means[0.95]) > 0.75
