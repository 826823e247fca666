"""UNSB: published sizes and bridge, one step by the published equations, resuming."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch

from tests.gan import left_of_copying
from tests.paired import job, losses_by_precision, made, pairs, whole_and_interrupted
from tests.unit.test_gan_steps import contrasted
from xmodbench.errors import UserError
from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.contrast import Projections
from xmodbench.plugins import METHODS, Supervision, TrainData, find
from xmodbench.seeding import ImageGenerator

PLUGIN = find(METHODS, "unsb").cls
from xmodbench_methods.unsb.bridge import latents, step_of, times_of, walked  # noqa: E402
from xmodbench_methods.unsb.game import UnsbGame, generator_of, translated  # noqa: E402
from xmodbench_methods.unsb.networks import BridgeGenerator, TimedJudge  # noqa: E402


def game(**changes):
    torch.manual_seed(0)
    return UnsbGame(made("unsb", **changes).settings.resolved(), "cpu")


def batch(seed=0, n=2, size=16):
    torch.manual_seed(seed)
    return Batch(2 * torch.rand(n, 1, size, size) - 1, 2 * torch.rand(n, 1, size, size) - 1)


def count(network):
    return sum(p.numel() for p in network.parameters())


# -- what is published -------------------------------------------------------------------------------------------------
def test_networks_have_the_published_numbers_of_parameters():
    """The released generator holds 14,671,873, of which 7,169,536 are never reached and left out here."""
    with torch.device("meta"):
        assert count(BridgeGenerator()) == 14_671_873 - 7_169_536 == 7_502_337
        # a second linear layer for the latent vector in each block is called by nothing in the released code
        assert count(BridgeGenerator(timed=True)) == 14_671_873 - 9 * (256 * 512 + 512)
        assert count(TimedJudge(64, 3)) == 3_140_993
        assert count(TimedJudge(64, 3, channels=4)) == 3_144_065
        assert TimedJudge(64, 3)(torch.zeros(1, 1, 128, 128), torch.zeros(1)).shape == (1, 1, 14, 14)
    s = PLUGIN.Config(width=64, blocks=5).resolved()
    projections = UnsbGame(s, "cpu").networks["projections"]
    assert count(projections) == count(Projections([1, 128, 256, 256, 256]))


def test_options_are_the_published_ones():
    for preset, share in {"released": 0.11, "unpaired": 1.0, "intended": 0.11}.items():
        s = PLUGIN.Config(preset=preset).resolved()
        assert {key for key, value in s if value is None} == {"iterations", "slices"}
        assert (s.learning_rate, s.beta1, s.epochs, s.decay_epochs, s.batch_size) == (2e-4, 0.5, 200, 200, 1)
        assert (s.steps, s.tau, s.bridge, s.nce, s.temperature, s.patches) == (5, 0.01, 1, 1, 0.07, 256)
        assert (s.share, s.time_conditioned, s.sampling_steps) == (share, preset == "intended", 5)
    assert PLUGIN.supervision is Supervision.FEW_SHOT
    with pytest.raises(UserError, match="sampling_steps 6 is more than the bridge's steps, 5"):
        made("unsb", sampling_steps=6)
    assert made("unsb", steps=3).settings.resolved().sampling_steps == 3


# -- the bridge --------------------------------------------------------------------------------------------------------
def test_five_steps_are_the_published_ones():
    close = {"abs": 1e-6}
    assert times_of(5) == pytest.approx([0, 0.5, 0.74, 0.86, 0.94, 1], **close)
    shares, variances = zip(*(step_of(times_of(5), number) for number in range(1, 5)), strict=True)
    assert shares == pytest.approx([0.5, 0.48, 0.461538, 0.571429], **close)
    assert variances == pytest.approx([0.25, 0.1248, 0.0646154, 0.0342857], **close)
    assert [math.sqrt(0.01 * v) for v in variances] == pytest.approx([0.05, 0.03533, 0.02542, 0.01852], abs=1e-5)
    assert (times_of(1), times_of(2)) == ([0, 1], [0, 0.5, 1])


class Constant:
    """Sees the same end from everywhere."""

    latent = 3

    def __init__(self, end, steps=5, tau=0.0):
        self.end, self.times, self.tau, self.seen = end, times_of(steps), tau, []

    def __call__(self, x, t, z):
        self.seen.append((t.tolist(), tuple(z.shape)))
        return torch.full_like(x, self.end)


def normal(shape, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=rng)


def test_without_noise_the_bridge_is_the_straight_line():
    source = torch.rand(2, 1, 4, 4)
    for last, time in enumerate(times_of(5)[:-1]):
        found = walked(Constant(0.3), source, last, normal(source.shape))
        torch.testing.assert_close(found, 0.3 + (source - 0.3) * (1 - time))


def test_with_noise_it_is_a_brownian_bridge():
    """Around the line, of variance tau t (1 - t)."""
    source = torch.zeros(1, 1, 200, 200)
    for last, time in enumerate(times_of(5)[:-1]):
        found = walked(Constant(1.0, tau=0.04), source, last, normal(source.shape))
        assert float(found.mean()) == pytest.approx(time, abs=5e-3)
        assert float(found.var()) == pytest.approx(0.04 * time * (1 - time), rel=0.03, abs=1e-9)


@pytest.mark.parametrize("evaluations", [1, 3, 5])
def test_a_translation_takes_the_evaluations_that_were_asked_for(evaluations):
    generator, source = Constant(0.3, tau=0.01), torch.rand(2, 1, 8, 8)
    found = translated(generator, source, evaluations, normal(source.shape))
    assert torch.equal(found, torch.full_like(source, 0.3))
    assert generator.seen == [([number, number], (2, 3)) for number in range(evaluations)]


def test_latents_are_as_many_as_asked_for_and_each_images_own():
    z = latents(normal((2, 1, 3, 3)), 20, torch.zeros(2, 1, 3, 3))
    assert z.shape == (2, 20) and z.unique().numel() == 40


# -- networks ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("timed", [False, True])
def test_only_where_asked_for_does_the_generator_see_the_time(timed):
    """The released one does not, by a mistake in each of its blocks."""
    generator = game(time_conditioned=timed).networks["generator"].eval()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    x, z = batch().source, torch.randn(2, generator.latent)
    early, late = (generator(x, torch.full((2,), number), z) for number in (0, 4))
    assert torch.equal(early, late) != timed
    assert not torch.allclose(early, generator(x, torch.zeros(2), -z))  # the latent vector it does see
    layers = generator.features(x, torch.zeros(2), z, [0, 4, 8, 12, 13])
    assert [layer.shape[1] for layer in layers] == [1, 8, 16, 16, 16]
    torch.testing.assert_close(generator.decoder(layers[-1]), early)


def test_judges_hear_the_time():
    for channels in (1, 4):
        judge = TimedJudge(4, 2, channels)
        x = torch.randn(1, channels, 16, 16)
        assert not torch.allclose(judge(x, torch.tensor([0])), judge(x, torch.tensor([4])))


def test_blocks_that_see_the_time_begin_open():
    """As published, scales begin at 0 (a later initialisation undoes their 1), and nothing passes a block at first."""
    for timed in (False, True):
        block = game(time_conditioned=timed).networks["generator"].blocks[0]
        assert block.style.bias.tolist() == [float(timed)] * 16 + [0.0] * 16


@pytest.mark.parametrize("size", [13, 18])
def test_slices_of_any_size_keep_it(size):
    generator = generator_of(made("unsb").settings.resolved())
    assert generator(torch.rand(1, 1, size, 16), torch.zeros(1), torch.randn(1, 16)).shape == (1, 1, size, 16)


# -- one step ----------------------------------------------------------------------------------------------------------
SHAPE = (2, 1, 16, 16)


def latent():
    return torch.randn(SHAPE).flatten(1)[:, :16]


@torch.no_grad()
def placed(generator, x, number):
    """Images at a time of the bridge, by its equations."""
    for k in range(number):
        end = generator(x, torch.full((2,), k), latent())
        share, variance = step_of(times_of(5), k + 1)
        x = (1 - share) * x + share * end + (variance * 0.01) ** 0.5 * torch.randn(SHAPE)
    return x


def energies(energy, t, here, there):
    """Of pairs beside themselves, and beside those of other sources."""
    own = energy(torch.cat([here, here], 1), t).mean()
    return own, torch.log(torch.exp(energy(torch.cat([here, there], 1), t)).sum())


def contrast(networks, layers, image, translation):
    z, start, generator = latent(), torch.zeros(2), networks["generator"]
    features = [generator.features(one, start, z, layers) for one in (translation, image)]
    for layer in features[0]:  # the places that are drawn, and make no difference
        torch.randperm(layer[0, 0].numel())
    return contrasted(networks["projections"].mlps, *features, False)


def learn(networks, state, loss):
    weights = [parameter for network in networks for parameter in network.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-2, betas=(0.5, 0.999))
    optimizer.load_state_dict(state)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize("number", [0, 3])
def test_a_step_is_the_published_one(number):
    """Judge, energy, then generator and projections; every position is compared, so that none of them is drawn."""
    played, b, before = game(patches=4096, learning_rate=1e-2), batch(), batch(5)
    played.step(before, 1)  # whose sources are the other ones of the next step
    n = copy.deepcopy(played.networks)
    states = {name: copy.deepcopy(optimizer.state_dict()) for name, optimizer in played.optimizers.items()}
    seed = next(seed for seed in range(99) if torch.manual_seed(seed) and int(torch.randint(5, ())) == number)
    torch.manual_seed(seed)
    found = played.step(b, 1)
    torch.manual_seed(seed)
    torch.randint(5, ())
    generator, judge, energy, t = n["generator"], n["judge"], n["energy"], torch.full((2,), number)
    x, x2, xb = (placed(generator, images, number) for images in (b.source, before.source, b.target))
    fake, fake2, same = (generator(images, t, latent()) for images in (x, x2, xb))
    judged = 0.5 * ((judge(fake.detach(), t) ** 2).mean() + ((judge(b.target, t) - 1) ** 2).mean())
    learn([judge], states["judge"], judged)
    here, there = torch.cat([x, fake], 1), torch.cat([x2, fake2], 1)
    own, mixed = energies(energy, t, here.detach(), there.detach())
    energy_loss = -own + mixed + mixed**2
    learn([energy], states["energy"], energy_loss)
    adversarial = ((judge(fake, t) - 1) ** 2).mean()
    own, mixed = energies(energy, t, here, there)
    bridge = 0.01 * ((x - fake) ** 2).mean() - (5 - number) / 5 * 0.01 * (own - mixed)
    nce, identity = (contrast(n, played.layers, *both) for both in ((b.source, fake), (b.target, same)))
    learn([generator, n["projections"]], states["generator"], adversarial + bridge + 0.5 * (nce + identity))
    expected = (adversarial, bridge, nce, identity, judged, energy_loss)
    assert [found[name].item() for name in played.losses] == pytest.approx([x.item() for x in expected], rel=1e-4)
    for name, network in played.networks.items():
        for (key, value), wanted in zip(network.named_parameters(), n[name].parameters(), strict=True):
            # a normalisation takes biases before it out again, and times but in the first layer: rounding, of which Adam
            # makes whole steps
            if value.ndim > 1 and not re.match(r"times\.[1-9]", key):
                assert (value - wanted).abs().mean() < 1e-4, f"{name}.{key}"  # a step is 1e-2


def test_the_other_sources_are_those_of_the_step_before():
    played, first, second = game(), batch(1).source, batch(2, n=3).source
    assert torch.equal(played._sources_before(first), first)
    assert torch.equal(played._sources_before(second), first[[0, 1, 0]])
    assert torch.equal(played._sources_before(first), second[:2])


def test_losses_in_half_precision_are_near_those_in_full():
    found = losses_by_precision(game, batch)
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.03, abs=0.02)


def test_in_half_precision_the_generator_learns_behind_its_own_walk():
    played = game(precision="bf16")
    before = copy.deepcopy(played.networks["generator"])
    torch.manual_seed(next(seed for seed in range(99) if torch.manual_seed(seed) and int(torch.randint(5, ())) == 4))
    played.step(batch(), 1)
    for (key, value), was in zip(played.networks["generator"].named_parameters(), before.parameters(), strict=True):
        assert value.ndim == 1 or not torch.equal(value, was), key


# -- training ----------------------------------------------------------------------------------------------------------
def few():
    data = pairs()
    return TrainData(data.target, data.source[:3])


def test_interrupted_training_ends_with_the_same_bits(tmp_path, quiet):
    whole, saved, resumed = whole_and_interrupted("unsb", few(), (1, 4), tmp_path, quiet)
    assert saved == resumed
    source = np.repeat(few().source[:1], 3, axis=0)
    found = whole.translate(source, [ImageGenerator.of(1, name) for name in ("a", "b", "a")])
    assert np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])
    fewer = made("unsb", sampling_steps=1)
    fewer.load(tmp_path / "whole", job(tmp_path / "c", quiet))
    once = fewer.translate(source[:1], [ImageGenerator.of(1, "a")])
    assert not np.array_equal(once[0], found[0])


def test_learns_a_globally_different_contrast(tmp_path, quiet):
    """Of unpaired slices, and over the whole bridge; copying the source leaves all of the error."""
    options = {"width": 8, "blocks": 1, "discriminator_width": 8, "projection_width": 64, "time_conditioned": True}
    method = made("unsb", iterations=80, learning_rate=2e-3, slices=8, checkpoint_s=300, snapshots=0, **options)
    assert left_of_copying(method, job(tmp_path, quiet)) < 0.4
