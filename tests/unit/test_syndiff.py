"""SynDiff: published sizes and schedule, one step by the published equations, resuming, a contrast it must learn."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.paired import error_beside_copying, job, losses_by_precision, made, pairs, whole_and_interrupted
from xmodbench.errors import UserError
from xmodbench.learning.denoising_gan.judge import TimeJudge
from xmodbench.learning.gan.batches import Batch
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator
from xmodbench.plugins import METHODS, Supervision, TrainData, find
from xmodbench.seeding import ImageGenerator

PLUGIN = find(METHODS, "syndiff").cls
from xmodbench_methods.syndiff.game import DiffusiveGenerator, SyndiffGame, process_of, translated  # noqa: E402


def game(**changes):
    torch.manual_seed(0)
    return SyndiffGame(made("syndiff", attention_level=1, **changes).settings.resolved(), "cpu")


def batch(seed=0, n=2):
    torch.manual_seed(seed)
    return Batch(2 * torch.rand(n, 1, 16, 16) - 1, 2 * torch.rand(n, 1, 16, 16) - 1)


# -- what is published -------------------------------------------------------------------------------------------------
def test_networks_have_the_published_numbers_of_parameters():
    """The released generator answers with two channels, of which the second is never used: 577 parameters."""
    s = PLUGIN.Config().resolved()

    def count(network):
        return sum(p.numel() for p in network.parameters())

    with torch.device("meta"):
        for changes, published in (
            ({"attention_level": 4}, 39_725_250),  # 256 pixels
            ({"attention_level": 3}, 39_133_122),  # 128 pixels
            ({"attention_level": 3, "multipliers": (1, 1, 2, 2, 4)}, 25_584_322),
        ):
            assert count(DiffusiveGenerator(s.model_copy(update=changes))) == published - 577
        judge = TimeJudge(s.time_width, s.time_layers, s.time_embedding)
        assert count(judge) == 27_736_705
        assert count(ResnetGenerator(s.translator_width, s.translator_blocks)) == 7_825_153
        assert count(PatchDiscriminator(s.discriminator_width, s.discriminator_layers)) == 2_762_689


def test_options_are_the_published_ones():
    for preset, share in {"released": 0.11, "unpaired": 1.0}.items():
        s = PLUGIN.Config(preset=preset).resolved()
        assert {key for key, value in s if value is None} == {"iterations", "slices", "attention_level"}
        assert (s.learning_rate, s.judge_rate, s.last_rate, s.beta1, s.beta2) == (1.6e-4, 1e-4, 1e-5, 0.5, 0.9)
        assert (s.epochs, s.batch_size, s.ema, s.r1, s.r1_every, s.cycle, s.l1) == (500, 1, 0.999, 1, 10, 0.5, 0.5)
        assert (s.share, s.sampling_steps, s.latent, s.latent_width) == (share, 4, 100, 256)
    assert PLUGIN.supervision is Supervision.FEW_SHOT
    assert [PLUGIN(PLUGIN.Config(share=x)).source_slices(n) for x, n in ((0.02, 993), (1.0, 300))] == [20, 300]


def test_the_rates_fall_along_a_cosine():
    played = SimpleNamespace(settings=PLUGIN.Config().resolved())
    for player, first in (("generators", 1.6e-4), ("judges", 1e-4)):
        found = [SyndiffGame.rate(played, player, 7 * epoch, 7) for epoch in (0, 250, 500)]
        assert found == pytest.approx([first, (first + 1e-5) / 2, 1e-5])


# -- the diffusion -----------------------------------------------------------------------------------------------------
def test_four_steps_are_the_published_ones():
    process = process_of(4)
    of_clean, of_noisy, std = (part.flatten() for part in process.posterior(torch.arange(4), torch.zeros(4, 1, 1, 1)))
    close = {"rel": 2e-6, "abs": 1e-6}
    assert process.betas.tolist() == pytest.approx([0.478255, 0.849206, 0.956418, 0.987404], **close)
    kept = process.signal.double() ** 2
    assert kept.tolist() == pytest.approx([0.521745, 0.078676, 0.0034289, 4.319e-5], rel=2e-5, abs=1e-6)
    assert of_clean.tolist() == pytest.approx([1, 0.665778, 0.269191, 0.0578215], **close)
    assert of_noisy.tolist() == pytest.approx([0, 0.201576, 0.193001, 0.1118523], **close)
    assert (std**2).tolist() == pytest.approx([0, 0.440819, 0.884202, 0.984061], **close)


def test_one_who_knows_the_image_translates_to_it_in_four_evaluations():
    truth, seen = torch.rand(2, 1, 8, 8), []

    def oracle(x, source, t, z):
        seen.append((t.tolist(), tuple(z.shape)))
        return truth

    oracle.latent = 100
    rng = torch.Generator().manual_seed(1)
    found = translated(oracle, truth * 0, lambda: torch.randn(2, 1, 8, 8, generator=rng), 4)
    torch.testing.assert_close(found, truth)
    assert seen == [([t, t], (2, 100)) for t in (3, 2, 1, 0)]


# -- one step ----------------------------------------------------------------------------------------------------------
def test_a_step_is_the_published_one():
    """Judges first, then all generators together at new steps and with new noise; the loss of both directions added up."""
    played, b = game(), batch()
    for network in played.networks.values():  # last layers begin at zero
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0, 0.1)
    n, s, process = copy.deepcopy(played.networks), played.settings, played.process
    torch.manual_seed(7)
    found = played.step(b, 1)
    torch.manual_seed(7)
    real = {"target": b.target, "source": b.source}
    ways = (("target", "source"), ("source", "target"))

    def noised(x):
        t, eps, z = torch.randint(4, (2,)), torch.randn(x.shape), torch.randn(2, s.latent)
        return t, *process.pair(x, t, eps, torch.randn(x.shape)), z

    expected = dict.fromkeys(played.losses, 0.0)
    judges = [n[f"{kind}_{name}"] for kind in ("judge", "patch") for name in real]
    total = 0.0
    for name, other in ways:
        t, now, later, z = noised(real[name])
        partner = n[f"translator_{other}"](real[name])
        clean = n[f"diffusive_{name}"](later, partner, t, z)
        fake = process.back(clean, later, t, torch.randn(clean.shape))
        now.requires_grad_()
        score = n[f"judge_{name}"](now, t, later)
        (gradient,) = torch.autograd.grad(score.sum(), now, create_graph=True)
        penalty = s.r1 / 2 * (gradient**2).sum((1, 2, 3)).mean()
        judge = (
            functional.softplus(-score).mean() + functional.softplus(n[f"judge_{name}"](fake.detach(), t, later)).mean()
        )
        patch = n[f"patch_{name}"]
        made_of_other = n[f"translator_{name}"](real[other]).detach()
        cycle = functional.softplus(-patch(real[name])).mean() + functional.softplus(patch(made_of_other)).mean()
        total = total + judge + cycle + penalty
        for key, value in (("judge", judge), ("judge_cycle", cycle), ("penalty", penalty)):
            expected[key] += value.item()
    optimizer = torch.optim.Adam([p for x in judges for p in x.parameters()], lr=s.learning_rate, betas=(0.5, 0.9))
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    for name, other in ways:
        t, _, later, z = noised(real[name])
        partner = n[f"translator_{other}"](real[name])
        again = n[f"translator_{name}"](partner)
        clean = n[f"diffusive_{name}"](later, partner, t, z)
        fake = process.back(clean, later, t, torch.randn(clean.shape))
        expected["adversarial"] += functional.softplus(-n[f"judge_{name}"](fake, t, later)).mean().item()
        expected["adversarial_cycle"] += functional.softplus(-n[f"patch_{other}"](partner)).mean().item()
        expected["cycle"] += (again - real[name]).abs().mean().item()
        expected["error"] += (clean - real[name]).abs().mean().item()
    assert {key: value.item() for key, value in found.items()} == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_denoised_images_error_teaches_the_translators_too():
    played, b = game(), batch()
    for parameter in played.networks["diffusive_target"].parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    noisy = played._noised(b.target)
    partner = played.networks["translator_source"](b.target)
    played.networks["diffusive_target"](noisy.noisier, partner, noisy.t, noisy.z).sub(b.target).abs().mean().backward()
    first = next(played.networks["translator_source"].parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0


def test_judges_are_penalised_every_so_many_steps_also_after_a_restart():
    played, found = game(r1_every=3, width=4), []
    for step in range(5):
        found.append(played.step(batch(step, 1), step)["penalty"].item() > 0)
    assert found == [True, False, False, True, False]


def test_losses_in_half_precision_are_near_those_in_full():
    found = losses_by_precision(game, batch)
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.02, abs=0.01)


# -- training ----------------------------------------------------------------------------------------------------------
def test_interrupted_training_ends_with_the_same_bits(tmp_path, quiet):
    # one of them just before a penalty
    whole, saved, resumed = whole_and_interrupted("syndiff", few(), (2, 5), tmp_path, quiet)
    assert saved == resumed
    source = np.repeat(few().source[:1], 3, axis=0)
    found = whole.translate(source, [ImageGenerator.of(1, name) for name in ("a", "b", "a")])
    assert np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])


def few():
    data = pairs()
    return TrainData(data.target, data.source[:3])


def test_more_halvings_than_slices_have_pixels_are_refused(tmp_path, quiet):
    with pytest.raises(UserError, match="time_layers: slices of 16 pixels are too small for 5 halvings; use at most 4"):
        made("syndiff", time_layers=5).fit(few(), job(tmp_path, quiet))


def test_learns_a_turned_contrast_unpaired(tmp_path, quiet):
    options = {"width": 8, "translator_width": 8, "share": 1.0, "slices": None, "batch_size": 2}
    method = made("syndiff", iterations=25, learning_rate=3e-3, checkpoint_s=300, snapshots=0, **options)
    data = pairs(24)
    method.fit(TrainData(data.target, data.source[::-1].copy()), job(tmp_path, quiet))
    unseen = pairs(4, 2)
    found = method.translate(unseen.source, [ImageGenerator.of(1, str(k)) for k in range(4)])
    assert error_beside_copying(found, unseen.source, unseen.target) < 0.5
    assert math.isfinite(method.model.log.last()["judge"])
