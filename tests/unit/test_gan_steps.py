"""One step of CycleGAN, pix2pix and CUT, recomputed from the published equations."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch.nn import functional

from tests.gan import METHOD_IDS, game_of
from tests.paired import losses_by_precision
from xmodbench.learning.gan.batches import Batch


def batch(seed=0):
    torch.manual_seed(seed)
    return Batch(2 * torch.rand(2, 1, 36, 36) - 1, 2 * torch.rand(2, 1, 36, 36) - 1)


def adam_step(networks, loss):
    optimizer = torch.optim.Adam([p for n in networks for p in n.parameters()], lr=1e-3, betas=(0.5, 0.999))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_same_weights(game, reference):
    """Biases before a normalisation are left out: their gradient is rounding, of which Adam makes whole steps."""
    for name, network in game.networks.items():
        for (key, found), expected in zip(network.named_parameters(), reference[name].parameters(), strict=True):
            if found.ndim > 1:
                assert (found - expected).abs().mean().item() < 1e-5, f"{name}.{key}"  # a step is 1e-3


def test_cyclegan_step_is_the_published_one():
    game, b = game_of("cyclegan", pool_size=50), batch()
    n = reference = copy.deepcopy(game.networks)
    losses = game.step(b, 1)
    fake_target, fake_source = n["to_target"](b.source), n["to_source"](b.target)
    adversarial = ((n["judge_target"](fake_target) - 1) ** 2).mean() + (
        (n["judge_source"](fake_source) - 1) ** 2
    ).mean()
    cycle = (n["to_source"](fake_target) - b.source).abs().mean() + (
        n["to_target"](fake_source) - b.target
    ).abs().mean()
    same = (n["to_target"](b.target) - b.target).abs().mean() + (n["to_source"](b.source) - b.source).abs().mean()
    adam_step([n["to_target"], n["to_source"]], adversarial + 10 * cycle + 10 * 0.5 * same)
    judged = {}
    for modality, real, fake in (("target", b.target, fake_target), ("source", b.source, fake_source)):
        judge = n[f"judge_{modality}"]
        judge.zero_grad()
        judged[modality] = 0.5 * (((judge(real) - 1) ** 2).mean() + (judge(fake.detach()) ** 2).mean())
        adam_step([judge], judged[modality])
    expected = (adversarial, cycle, same, judged["target"], judged["source"])
    assert [losses[name].item() for name in game.losses] == pytest.approx([x.item() for x in expected], rel=1e-5)
    assert_same_weights(game, reference)


def test_pix2pix_step_is_the_published_one():
    game, b = game_of("pix2pix"), batch()
    n = reference = copy.deepcopy(game.networks)
    torch.manual_seed(5)
    losses = game.step(b, 1)
    torch.manual_seed(5)  # the same dropout
    fake = n["generator"](b.source)
    logits = [n["judge"](torch.cat([b.source, image], 1)) for image in (fake.detach(), b.target)]
    judge_fake, judge_real = functional.softplus(logits[0]).mean(), functional.softplus(-logits[1]).mean()
    adam_step([n["judge"]], 0.5 * (judge_fake + judge_real))
    adversarial = functional.softplus(-n["judge"](torch.cat([b.source, fake], 1))).mean()
    l1 = (fake - b.target).abs().mean()
    adam_step([n["generator"]], adversarial + 100 * l1)
    expected = (adversarial, l1, judge_real, judge_fake)
    assert [losses[name].item() for name in game.losses] == pytest.approx([x.item() for x in expected], rel=1e-5)
    assert_same_weights(game, reference)


@pytest.mark.parametrize("preset", ["cut", "fastcut"])
def test_cut_step_is_the_published_one(preset):
    changes = {"nce": 1.0} if preset == "cut" else {"nce": 10.0, "nce_identity": False}
    # every position is compared, so that nothing depends on the draw
    game, b = game_of("cut", patches=4096, flip_equivariance=preset == "fastcut", **changes), batch()
    n = reference = copy.deepcopy(game.networks)
    seed = next(s for s in range(9) if torch.manual_seed(s) and torch.rand(()) < 0.5)  # one that mirrors
    torch.manual_seed(seed)
    losses = game.step(b, 1)
    fake = n["generator"](b.source.flip(3) if preset == "fastcut" else b.source)
    judged = 0.5 * ((n["judge"](fake.detach()) ** 2).mean() + ((n["judge"](b.target) - 1) ** 2).mean())
    adam_step([n["judge"]], judged)
    adversarial = ((n["judge"](fake) - 1) ** 2).mean()
    nce = contrast(n, game.layers, b.source, fake, preset == "fastcut")
    total, same = nce, torch.zeros(())
    if preset == "cut":
        same = contrast(n, game.layers, b.target, n["generator"](b.target), False)
        total = 0.5 * (nce + same)
    adam_step([n["generator"], n["projections"]], adversarial + (1 if preset == "cut" else 10) * total)
    expected = (adversarial, nce, same, judged)
    assert [losses[name].item() for name in game.losses] == pytest.approx([x.item() for x in expected], rel=1e-4)
    assert_same_weights(game, reference)


def contrast(networks, layers, image, translation, mirrored):
    """Of the generator's features of an image and of its translation."""
    found = [networks["generator"].features(x, layers) for x in (translation, image)]
    return contrasted(networks["projections"].mlps, *found, mirrored)


def contrasted(mlps, queries, keys, mirrored):
    """InfoNCE over all positions of each image, the mean over layers; each position's own negative has a cosine of -10."""
    losses = []
    for mlp, q, k in zip(mlps, queries, keys, strict=True):
        q = q.flip(3) if mirrored else q
        q, k = (mlp(x.flatten(2).mT) for x in (q, k))
        q, k = (x / (x.norm(dim=2, keepdim=True) + 1e-7) for x in (q, k))
        cosines = torch.einsum("bic,bjc->bij", q, k.detach()) / 0.07
        own = cosines.diagonal(dim1=1, dim2=2)
        losses.append((cosines.logsumexp(2) - own).mean())
    return sum(losses) / len(losses)


def test_half_precision_contrasts_in_full_and_trains_every_projection():
    game, found = game_of("cut", precision="bf16", patches=4096, flip_equivariance=False), []
    generator, projections = game.networks["generator"], copy.deepcopy(game.networks["projections"]).double()
    plain = generator.features

    def noted(*given):
        found.append(plain(*given))
        return found[-1]

    generator.features = noted
    losses = game.step(batch(), 1)
    assert found[0][-1].dtype == torch.bfloat16, "nothing ran in half precision"
    queries, keys, *same = [[layer.detach().double() for layer in layers] for layers in found]
    assert losses["nce"].item() == pytest.approx(contrasted(projections.mlps, queries, keys, False).item(), rel=1e-5)
    assert losses["nce_identity"].item() == pytest.approx(contrasted(projections.mlps, *same, False).item(), rel=1e-5)
    still = [name for name, p in game.networks["projections"].named_parameters() if p.grad is None or not p.grad.any()]
    assert not still, "these do not learn"


@pytest.mark.parametrize("name", METHOD_IDS)
def test_losses_in_half_precision_are_near_those_in_full(name):
    found = losses_by_precision(partial(game_of, name), batch)
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=5e-3, abs=1e-3)


def test_judges_see_the_pool(monkeypatch):
    game = game_of("cyclegan", pool_size=1)
    first = game.networks["to_target"](batch(0).source[:1]).detach()
    game.shown("target", first, 0)
    seeds = [seed for seed in range(20) if torch.equal(copy.deepcopy(game).shown("target", first * 0, seed), first)]
    assert 4 <= len(seeds) <= 16


@pytest.mark.parametrize(("name", "changes"), [("cyclegan", {}), ("cyclegan", {"identity": 0.0}), ("cut", {})])
def test_batches_taken_as_one_give_the_same_step(name, changes):
    """As on a GPU: nothing in these networks looks at more than one image."""
    found = []
    for joined in (False, True):
        game = game_of(name, **changes)
        game.joined = joined
        torch.manual_seed(5)
        found.append((game.step(batch(), 1), game))
    (apart, game), (together, other) = found
    for loss in game.losses:
        torch.testing.assert_close(together[loss], apart[loss], rtol=1e-5, atol=1e-6)
    assert_same_weights(other, game.networks)


def test_batches_are_taken_as_one_on_a_gpu_only():
    assert not game_of("cyclegan").joined
    calls = []

    def network(images):
        calls.append(len(images))
        return 2 * images

    game = game_of("cyclegan")
    images = torch.arange(5.0).reshape(5, 1, 1, 1)
    for joined, wanted in ((False, [2, 3]), (True, [5])):
        game.joined = joined
        found = game.each(network, images[:2], images[2:])
        assert [len(one) for one in found] == [2, 3] and torch.equal(torch.cat(list(found)), 2 * images)
        assert calls == wanted
        calls.clear()
