"""Inversion: what it minimises, that images do not depend on each other, and a small problem learned from end to end."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.stylegan2 import fit, relu4_3, run_in, tiny
from xmodbench.errors import UserError
from xmodbench.learning import cuda_graph
from xmodbench.learning.stylegan2 import gan, model
from xmodbench.learning.stylegan2.discriminator import Discriminator
from xmodbench.learning.stylegan2.encoder import Encoder
from xmodbench.learning.stylegan2.generator import Generator
from xmodbench.learning.stylegan2.inversion import Inverter
from xmodbench.learning.stylegan2.perceptual import features_of
from xmodbench.learning.stylegan2.settings import InversionSettings
from xmodbench.metrics.distribution import frechet_distance, hog_features
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated


def inverter(weight=0.1, **changes) -> Inverter:
    """Untrained networks, frozen."""
    torch.manual_seed(0)
    s = tiny(**changes).resolved(16)
    parts = Generator(s), Encoder(s), features_of(s, Discriminator(s))
    for network in parts:
        network.eval().requires_grad_(False)
    return Inverter(*parts, weight, s)


def test_losses_are_the_published_sum():
    found, x = inverter(), torch.rand(3, 1, 16, 16) * 2 - 1
    w = torch.randn(3, 6, 16)
    image = found.image_of(w)
    wanted = found.features.describe(x)
    losses = found._losses(w, image, x, wanted)
    expected = (
        (x - image).square().flatten(1).mean(1)
        + 0.1 * found.features.distance(found.features.describe(image), wanted, 3)
        + 2.0 * (w - found.encoder(image)).square().flatten(1).mean(1)
    )
    torch.testing.assert_close(losses, expected)


def test_vgg16_sees_images_at_their_own_resolution():
    """Only the encoder's training enlarges them to 256 px."""
    found, x = inverter(perceptual="vgg16", vgg16_file="none", lambda_dom=0.0), torch.rand(2, 1, 16, 16) * 2 - 1
    found.features.layers, found.weight = found.features.layers[:4], 1e-3  # they tell sizes apart, and take no time
    image = found.image_of(torch.randn(2, 6, 16))
    losses = found._losses(torch.zeros(2, 6, 16), image, x, found.features.describe(x))
    difference = relu4_3(found.features.layers, image) - relu4_3(found.features.layers, x)
    features = 1e-3 * difference.square().flatten(1).mean(1)
    assert (features > 0.1).all()
    torch.testing.assert_close(losses, (x - image).square().flatten(1).mean(1) + features)


def test_first_step_is_adams():
    found, x = inverter(inversion_steps=1), torch.rand(2, 1, 16, 16) * 2 - 1
    w = found.encoder(x).requires_grad_(True)
    image = found.image_of(w)
    gradient = torch.autograd.grad(found._losses(w, image, x, found.features.describe(x)).sum(), w)[0]
    moved = w - 0.01 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
    last, kept = found.invert(x, (0, 1))
    torch.testing.assert_close(kept[0], image.detach())
    torch.testing.assert_close(last, found.image_of(moved.detach()), rtol=1e-4, atol=1e-4)
    assert torch.equal(kept[1], last)


@pytest.mark.parametrize("latent", ["w+", "w"])
@pytest.mark.parametrize("lambda_dom", [0.0, 2.0])
def test_images_of_a_batch_do_not_depend_on_each_other(latent, lambda_dom):
    found = inverter(latent=latent, lambda_dom=lambda_dom, inversion_steps=20)
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    together, _ = found.invert(x)
    alone = torch.cat([found.invert(x[i : i + 1])[0] for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-3)  # rounding, through 20 steps of Adam


def test_an_images_gradient_is_the_same_in_a_batch(monkeypatch):
    """A mean over the batch would divide it; Adam's steps, which know no scale, would hide that."""
    found, x, gradients = inverter(inversion_steps=1), torch.rand(3, 1, 16, 16) * 2 - 1, []

    class Recorder(torch.optim.Adam):
        def step(self):
            gradients.append(self.param_groups[0]["params"][0].grad.clone())

    monkeypatch.setattr(torch.optim, "Adam", Recorder)
    for images in (x, x[1:2]):
        found.invert(images)
    torch.testing.assert_close(gradients[0][1:2], gradients[1], rtol=1e-3, atol=1e-6)


def test_w_has_one_vector_for_all_layers():
    found = inverter(latent="w", inversion_steps=0)
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    image, _ = found.invert(x)
    mean = found.encoder(x).mean(1, keepdim=True).repeat(1, 6, 1)
    torch.testing.assert_close(image, found.generator.synthesis(mean))


# -- a small problem, learned from end to end -------------------------------------------------------------------------
def small(images):
    return images.reshape(-1, 1, 8, 4, 8, 4).mean((3, 5))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model of 8 px phantoms in its folder, the slices it saw, and test slices of both contrasts."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("learned")
    config = tiny(
        resolution=8,
        kimg=2.0,
        batch_size=8,
        channel_base=128,
        augment="none",
        ema_kimg=0.2,
        encoder_iterations=60,
        encoder_batch=8,
        encoder_width=16,
        encoder_max=32,
    )
    slices, run = small(phantom(48, 1)), run_in(folder)
    made = fit(config, slices, run)
    made.save(folder)
    source, target = small(phantom(2, 2, invert=True)), small(phantom(2, 2))
    return SimpleNamespace(folder=folder, slices=slices, source=source, target=target, model=made, facts=run.facts)


def error(a, b) -> float:
    return float(((a - b) ** 2).mean())


def inverted(learned, images, **changes):
    """Images inverted with the learned model, and those on the way."""
    found = model.Model.load(learned.folder, InversionSettings(**changes), run_in(learned.folder))
    return found.translate(images, run_in(learned.folder))


def test_samples_come_near_to_slices_without_becoming_one(learned):
    torch.manual_seed(1)
    untrained = Generator(learned.model.settings)
    z = torch.randn(64, 16)
    with torch.no_grad():
        samples, before = (
            ((network(z) + 1) / 2).clamp(0, 1)[:, 0].numpy() for network in (learned.model.generator, untrained)
        )
    slices = learned.slices[:, 0]
    real = hog_features(slices)

    def distance(images):
        return frechet_distance(hog_features(images), real)

    assert distance(samples) < 0.6 * distance(before)
    # a generator that shows one image whatever z is: it comes near in the mean, but not in how slices vary
    collapsed = np.repeat(slices.mean(0)[None], 64, 0)
    assert distance(samples) < 0.85 * distance(collapsed)
    assert 0.5 < samples.std(0).mean() / slices.std(0).mean() < 2


def test_a_training_slice_is_found_again(learned):
    images, kept = inverted(learned, learned.slices[:2], inversion_steps=101, lambda_dom=0.0)
    assert list(kept) == ["after_0", "after_100", "after_101"]
    assert error(images, learned.slices[:2]) < 0.5 * error(kept["after_0"], learned.slices[:2])
    assert np.array_equal(images, kept["after_101"])


def test_without_the_regulariser_the_source_is_copied(learned):
    errors = {}
    for lambda_dom in (0.0, 2.0):
        images, _ = inverted(learned, learned.source, inversion_steps=100, lambda_dom=lambda_dom)
        errors[lambda_dom] = error(images, learned.source)
    assert errors[0.0] < 0.7 * errors[2.0]


def test_facts_say_what_was_trained(learned):
    facts, stored = learned.facts, json.loads((learned.folder / "model.json").read_text())["settings"]
    assert facts["resolution"] == 8 and facts["repaired_gradients"] == 0
    assert stored["perceptual_weight"] == facts["perceptual_weight"] > 0
    assert (learned.folder / "loss.csv").is_file() and (learned.folder / "encoder" / "loss.csv").is_file()


def test_options_of_the_inversion_are_laid_over_the_models(learned):
    run = run_in(learned.folder)
    found = model.Model.load(learned.folder, InversionSettings(lambda_dom=0.5), run).settings
    assert (found.lambda_dom, found.inversion_steps, found.latent) == (0.5, 5, "w+")
    # a preset named in the config decides the training alone
    found = model.Model.load(learned.folder, tiny(preset="auto", inversion_steps=None), run).settings
    assert (found.preset, found.inversion_steps) == ("short", 5)


def test_slices_of_other_sizes_come_back_at_theirs(learned):
    image = np.random.default_rng(0).random((1, 1, 20, 13), dtype=np.float32)
    images, kept = inverted(learned, image, inversion_steps=2)
    for found in (images, *kept.values()):
        assert found.shape == image.shape and found.min() >= 0 and found.max() <= 1


def test_the_reconstruction_inverts_the_target(learned):
    plugin = find(METHODS, "stylegan2_reconstruction")
    assert plugin.cls.model_plugin == "stylegan2_inversion"
    control = plugin.cls(validated(plugin.cls.Config, {"inversion_steps": 3}, "test"))
    control.load(learned.folder, run_in(learned.folder))
    images = control.answer(learned.source, learned.target, ["a", "b"], 1)
    assert np.array_equal(images, inverted(learned, learned.target, inversion_steps=3)[0])
    assert set(control.intermediate_images) == set(control.intermediates()) == {"after_0", "after_3"}


@pytest.mark.parametrize("kind", ["grad", "none"])
def test_other_features_are_trained_with_saved_and_read(kind, tmp_path):
    run = run_in(tmp_path)
    made = fit(tiny(perceptual=kind, kimg=0.008, encoder_iterations=2), phantom(4, 1), run)
    made.save(tmp_path)
    read = model.Model.load(tmp_path, InversionSettings(), run)
    assert (read.settings.perceptual_weight > 0) == (kind == "grad")
    image = phantom(1, 2)
    assert np.array_equal(read.translate(image, run)[0], made.translate(image, run)[0])


def test_a_gan_of_other_settings_is_refused(tmp_path):
    config, run = tiny(kimg=0.008), run_in(tmp_path)
    found = gan.pretrain(config, phantom(4, 1), run)
    found.save(tmp_path)
    read = gan.Gan.load(tmp_path, tiny(kimg=0.008, perceptual="grad", encoder_iterations=9), run)
    assert read.settings.perceptual == "grad"
    for name, value in found.generator.state_dict().items():
        assert torch.equal(read.generator.state_dict()[name], value)
    assert read.log.column("step") == found.log.column("step")
    assert set(read.log.snapshots) == set(found.log.snapshots)
    with pytest.raises(UserError, match=r"was trained with r1_gamma 0.1, not 0.2"):
        gan.Gan.load(tmp_path, tiny(kimg=0.008, r1_gamma=0.2), run)


def test_a_damaged_model_is_named(learned, tmp_path):
    (tmp_path / "model.json").write_bytes((learned.folder / "model.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="weights cannot be read"):
        model.Model.load(tmp_path, InversionSettings(), run_in(tmp_path))


def test_replayed_steps_change_no_bit(tmp_path, monkeypatch):
    """As on a GPU, but that nothing is captured; Adam's moments must begin at nothing all the same."""
    monkeypatch.setattr(cuda_graph, "captured", lambda work: [work() for _ in range(2)] and work)
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    want, kept = inverter(inversion_steps=4).invert(x, (0, 2, 4))
    one = inverter(inversion_steps=4)
    one.run = run_in(tmp_path)
    one.run.device = "cuda"
    found, others = one.invert(x, (0, 2, 4))
    assert torch.equal(found, want)
    assert all(torch.equal(others[step], kept[step]) for step in (0, 2, 4))
    assert one.run.facts["cuda_graph"] == {"inversion step": True}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_replays_the_steps_it_would_do(tmp_path):
    x = (torch.rand(2, 1, 16, 16) * 2 - 1).cuda()
    found = []
    for replayed in (False, True):
        one = inverter(inversion_steps=4)
        for network in (one.generator, one.encoder, one.features):
            network.cuda()
        one.run = run_in(tmp_path) if replayed else None
        if one.run is not None:
            one.run.device = "cuda"
        found.append(one.invert(x)[0])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
    assert one.run.facts["cuda_graph"] == {"inversion step": True}
