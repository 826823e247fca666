"""Training of the domain-guided encoder: one step recomputed, its learning rate, what its normalisations remember."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.stylegan2 import relu4_3, run_in, tiny
from xmodbench.learning.stylegan2.discriminator import Discriminator
from xmodbench.learning.stylegan2.encoder import Normalisation
from xmodbench.learning.stylegan2.encoder_training import EncoderTraining
from xmodbench.learning.stylegan2.generator import Generator
from xmodbench.learning.stylegan2.perceptual import features_of
from xmodbench.learning.stylegan2.settings import StyleganSettings
from xmodbench.plugins.check import phantom


def encoder_training(tmp_path, **changes) -> EncoderTraining:
    """The training of an encoder for an untrained GAN."""
    torch.manual_seed(0)
    s = tiny(**changes).resolved(16)
    discriminator = Discriminator(s)
    features = features_of(s, discriminator).requires_grad_(False)
    generator = Generator(s).eval().requires_grad_(False)
    return EncoderTraining(s, generator, discriminator, features, phantom(8, 1), run_in(tmp_path))


def adams_first_step(network, rate):
    """A network moved by Adam from its gradients, whose size does not matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= rate * parameter.grad / (parameter.grad.abs() + 1e-8)


def test_encoder_step_is_the_published_one(tmp_path):
    training = encoder_training(tmp_path)
    s, features = training.settings, training.features
    encoder, d, g = copy.deepcopy((training.encoder, training.discriminator, training.generator))
    x = training.batches.at(0, "cpu")
    found = dict(zip(training.columns, training.step(0), strict=True))
    r = g.synthesis(encoder(x))
    difference = features.distance(features.describe(r), features.describe(x), 4).mean()
    adversarial = functional.softplus(-d(r)).mean()
    assert found["pixels"].item() == pytest.approx((r - x).square().mean().item(), rel=1e-5)
    assert found["features"].item() == pytest.approx(difference.item(), rel=1e-5)
    assert found["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    # the weight was set on this very batch
    assert (training.weight * found["features"]).item() == pytest.approx(0.75 * found["pixels"].item(), rel=1e-4)
    ((r - x).square().mean() + training.weight * difference + 0.08 * adversarial).backward()
    adams_first_step(encoder, s.encoder_rate)
    assert_moved_alike(training.encoder, encoder, s.encoder_rate)

    # the discriminator judges what the encoder makes now
    before = functional.softplus(d(r)).mean() + functional.softplus(-d(x)).mean()
    with torch.no_grad():
        r = g.synthesis(encoder(x))
    judged = functional.softplus(d(r)).mean() + functional.softplus(-d(x)).mean()
    assert found["discriminator"].item() == pytest.approx(judged.item(), rel=1e-4)
    assert abs(before.item() / judged.item() - 1) > 5e-4, "nothing to tell: the new images are judged as the old ones"
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    penalty = gradient.square().sum((1, 2, 3)).mean()
    assert found["r1"].item() == pytest.approx(penalty.item(), rel=1e-3)
    d.zero_grad()
    (judged + s.encoder_r1_gamma / 2 * penalty).backward()
    adams_first_step(d, s.encoder_rate)
    assert_moved_alike(training.discriminator, d, s.encoder_rate)
    # both forward passes in training count
    for mine, theirs in zip(encoder.buffers(), training.encoder.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_vgg16_sees_images_of_256_px_in_training(tmp_path):
    training = encoder_training(tmp_path, perceptual="vgg16", vgg16_file="none", encoder_batch=2)
    training.features.layers = training.features.layers[:4]  # they tell sizes apart, and take no time
    encoder, x = copy.deepcopy(training.encoder), training.batches.at(0, "cpu")
    found = dict(zip(training.columns, training.step(0), strict=True))
    with torch.no_grad():
        pair = x, training.generator.synthesis(encoder(x))
        pair = (one.repeat_interleave(16, 2).repeat_interleave(16, 3) for one in pair)
        wanted, described = (relu4_3(training.features.layers, one) for one in pair)
    assert wanted.shape == (2, 64, 256, 256)
    assert found["features"].item() == pytest.approx((described - wanted).square().mean().item(), rel=1e-4)
    assert training.weight.item() == pytest.approx(5e-5)


def assert_moved_alike(found, expected, rate):
    """Biases before a normalisation are left out: their gradients are rounding, of which Adam makes whole steps."""
    for mine, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        if mine.ndim > 1:
            assert (mine - theirs).abs().mean().item() < 0.02 * rate


def test_the_encoders_rate_falls_as_its_authors_code_runs(tmp_path):
    """TensorFlow's exponential decay by 0.8 per quarter, of a counter that both training operations advance."""
    training = encoder_training(tmp_path, encoder_iterations=100)
    for step in (0, 25, 50, 99, 100):
        counter = 2 * step
        assert training.learning_rate(step) == pytest.approx(training.settings.encoder_rate * 0.8 ** (counter / 25))
    assert StyleganSettings(preset="auto").resolved(128).encoder_decay == pytest.approx(0.168, abs=5e-4)
    training = encoder_training(tmp_path, encoder_decay=0.8**4)
    assert training.learning_rate(training.steps) == pytest.approx(training.settings.encoder_rate * 0.8**4)


@pytest.mark.parametrize("shape", [(16, 3), (4, 3, 5, 2)])
def test_normalisation_remembers_the_variance_of_batches_themselves(shape):
    torch.manual_seed(0)
    mine, torchs = Normalisation(3), (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = torch.randn(shape) * 2 + 1
        torch.testing.assert_close(mine(x), torchs(x))
        values = x.transpose(0, 1).flatten(1).double().numpy()
        mean, variance = 0.9 * mean + 0.1 * values.mean(1), 0.9 * variance + 0.1 * values.var(1)
    np.testing.assert_allclose(mine.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(mine.running_var, variance, rtol=1e-5)
    x = torch.randn(shape)
    torchs.load_state_dict(mine.state_dict())
    torch.testing.assert_close(mine.eval()(x), torchs.eval()(x))


def test_latent_vectors_are_as_long_in_use_as_in_training(tmp_path):
    """With torch's own normalisation they would be sqrt(15 / 16) = 0.968 as long."""
    encoder, images = encoder_training(tmp_path).encoder, torch.from_numpy(phantom(16, 1))[..., ::2, ::2] * 2 - 1
    for _ in range(200):  # until the running values are those of these images
        latents = encoder(images)
    ratio = encoder.eval()(images).std() / latents.std()
    assert ratio.item() == pytest.approx(1, abs=2e-3)


def test_it_trains_in_mixed_precision(tmp_path):
    losses = {}
    for precision in ("fp32", "bf16"):
        losses[precision] = torch.stack(list(encoder_training(tmp_path, precision=precision).step(0)))
    assert losses["bf16"].isfinite().all() and not torch.equal(losses["bf16"], losses["fp32"])
    torch.testing.assert_close(losses["bf16"], losses["fp32"], rtol=0.1, atol=0.02)
