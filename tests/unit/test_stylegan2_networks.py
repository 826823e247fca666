"""StyleGAN2's networks and encoder: sizes, both ways of modulated convolution, what depends on what."""

from __future__ import annotations

import pytest
import torch
from scipy.signal import upfirdn
from torch.nn import functional

from tests.stylegan2 import relu4_3, tiny
from xmodbench.learning.stylegan2.discriminator import Discriminator, with_deviation
from xmodbench.learning.stylegan2.encoder import Encoder
from xmodbench.learning.stylegan2.filters import filtered as correlated
from xmodbench.learning.stylegan2.generator import Generator, Mapping, latent_count
from xmodbench.learning.stylegan2.layers import Conv, Linear, ModulatedConv, downsample, low_pass, upsample
from xmodbench.learning.stylegan2.perceptual import features_of, read_vgg16
from xmodbench.learning.stylegan2.settings import StyleganSettings


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("preset", "size", "expected"),
    [("auto", 128, 22_944_401), ("auto", 256, 23_186_516), ("paper256", 128, 24_762_452)],
)
def test_generators_have_the_published_sizes(preset, size, expected):
    with torch.device("meta"):
        assert count(Generator(StyleganSettings(preset=preset).resolved(size))) == expected


@pytest.mark.parametrize(("size", "discriminator", "encoder"), [(128, 23.88e6, 62.3e6), (256, 24.00e6, 75.4e6)])
def test_discriminators_and_encoders_have_the_published_sizes(size, discriminator, encoder):
    with torch.device("meta"):
        s = StyleganSettings().resolved(size)
        assert count(Discriminator(s)) == pytest.approx(discriminator, rel=5e-4)
        assert count(Encoder(s)) == pytest.approx(encoder, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "batch", "gamma", "half_life"), [(64, 32, 0.0256, 10), (128, 32, 0.1024, 10), (256, 16, 0.8192, 5)]
)
def test_auto_follows_the_released_formulas(size, batch, gamma, half_life):
    s = StyleganSettings().resolved(size)
    assert (s.batch_size, s.minibatch_group, s.channel_base) == (batch, 4, 16384)
    assert (s.r1_gamma, s.ema_kimg, s.ada_kimg) == (pytest.approx(gamma), half_life, 500)
    assert (s.learning_rate, s.ema_ramp, s.mapping_layers) == (0.0025, 0.05, 2)
    # shorter trainings leave the augmentation time to rise
    assert StyleganSettings(kimg=1000).resolved(size).ada_kimg == 200


def filtered(image, up, down, pad, gain):
    """The image [H,W] resampled by SciPy with [1,3,3,1] both ways; `pad` (before, after) is that of the spread image."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8 * gain**0.5

    def along(x):
        spread = torch.zeros(*x.shape[:-1], x.shape[-1] * up, dtype=x.dtype)
        spread[..., ::up] = x
        spread = functional.pad(spread, pad)
        full = torch.from_numpy(upfirdn(line.numpy(), spread.numpy(), axis=-1))
        return full[..., 3 : spread.shape[-1] : down]

    return along(along(image).transpose(-1, -2)).transpose(-1, -2)


def test_resampling_is_the_published_one():
    x = torch.randn(6, 6, dtype=torch.float64)
    for found, arguments in (
        (upsample(x[None, None]), (2, 1, (2, 1), 4)),
        (downsample(x[None, None]), (1, 2, (1, 1), 1)),
        (low_pass(x[None, None], pad=2), (1, 1, (2, 2), 1)),
    ):
        torch.testing.assert_close(found[0, 0], filtered(x, *arguments))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [True, False])
def test_fused_and_unfused_convolutions_agree(up, demodulate):
    torch.manual_seed(0)
    conv = ModulatedConv(12, 7, 3 if demodulate or up else 1, 16, up=up, demodulate=demodulate)
    x, w = torch.randn(3, 12, 8, 8), torch.randn(3, 16)
    results = []
    for fused in (True, False):
        y = conv(x, w, fused)
        results.append((y, torch.autograd.grad(y.square().sum(), list(conv.parameters()))))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    for one, other in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * one.abs().max().item())


def test_demodulation_gives_unit_weights():
    conv = ModulatedConv(5, 4, 3, 6)
    w = torch.randn(2, 6)
    impulses = torch.eye(5)[:, :, None, None] * functional.pad(torch.ones(1, 1), (2, 2, 2, 2))
    # the response to an impulse in each input channel is the modulated weight
    energy = sum(conv(impulse[None].expand(2, -1, -1, -1), w).square().sum((2, 3)) for impulse in impulses)
    torch.testing.assert_close(energy, torch.ones(2, 4), rtol=1e-4, atol=1e-4)


def test_generator_paths_noise_and_latents():
    torch.manual_seed(0)
    network = Generator(tiny().resolved(16))
    assert network.count == latent_count(16) == 6
    ws = network.latents(torch.randn(3, 16))
    assert ws.shape == (3, 6, 16) and torch.equal(ws[:, 0], ws[:, -1])
    for conv in network.synthesis.convs:
        torch.nn.init.normal_(conv.noise_strength)
    fixed = network.synthesis(ws)
    assert fixed.shape == (3, 1, 16, 16)
    torch.testing.assert_close(network.synthesis(ws, fused=True), fixed, rtol=1e-5, atol=2e-5)
    assert torch.equal(network.synthesis(ws), fixed)
    assert not torch.equal(network.synthesis(ws, "random"), network.synthesis(ws, "random"))
    assert not torch.equal(network.synthesis(ws, "none"), fixed)


def test_each_latent_vector_reaches_the_image():
    network = Generator(tiny().resolved(16))
    ws = network.latents(torch.randn(1, 16)).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.synthesis(ws).square().sum(), ws)
    assert (gradient[0].abs().sum(1) > 0).all()


def test_style_mixing_switches_once():
    torch.manual_seed(1)
    network = Generator(tiny().resolved(16))
    seen = set()
    for _ in range(40):
        ws = network.latents(torch.randn(2, 16), mixing=1.0)[0]
        changes = [i for i in range(1, 6) if not torch.equal(ws[i], ws[i - 1])]
        assert len(changes) == 1
        seen.add(changes[0])
    assert seen == {1, 2, 3, 4, 5}


def test_mapping_normalises_and_tracks_its_mean():
    torch.manual_seed(0)
    mapping = Mapping(8, 2)
    z = torch.randn(5, 8)
    torch.testing.assert_close(mapping(3 * z), mapping(z))
    w = mapping(z, track=True)
    torch.testing.assert_close(mapping.average, 0.005 * w.mean(0))
    mapping(z)
    torch.testing.assert_close(mapping.average, 0.005 * w.mean(0))


def test_equalised_layers_scale_weights_when_used():
    layer = Linear(9, 4, bias=1.0, rate=0.01)
    x = torch.randn(2, 9)
    torch.testing.assert_close(layer(x), x @ layer.weight.t() * 0.01 / 3 + 0.01)
    assert layer.weight.std().item() > 20  # N(0, 1) / rate
    conv = Conv(4, 5, 3)
    y = functional.conv2d(torch.ones(1, 4, 6, 6), conv.weight / 6, padding=1)
    torch.testing.assert_close(conv(torch.ones(1, 4, 6, 6)), functional.leaky_relu(y, 0.2) * 2**0.5)


def test_minibatch_deviation_of_interleaved_groups():
    x = torch.randn(6, 2, 4, 4)
    found = with_deviation(x, 4)  # groups of 3, the largest divisor up to 4: images 0, 2, 4 and 1, 3, 5
    assert found.shape == (6, 3, 4, 4) and torch.equal(found[:, :2], x)
    for first in (0, 1):
        expected = (x[first::2].var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[first::2, 2], expected.expand(3, 4, 4))


def test_discriminator_halves_to_four_and_scores():
    torch.manual_seed(0)
    network = Discriminator(tiny().resolved(16))
    x = torch.randn(4, 1, 16, 16)
    assert [tuple(f.shape[1:]) for f in network.features(x)] == [(16, 8, 8), (16, 4, 4)]
    assert network(x).shape == (4,)
    torch.testing.assert_close(network.features(x[:1])[1], network.features(x)[1][:1], rtol=1e-5, atol=1e-5)


def test_encoder_normalises_the_latent_vectors_themselves():
    torch.manual_seed(0)
    network = Encoder(StyleganSettings(preset="short").resolved(32))
    ws = network(torch.randn(16, 1, 32, 32))
    assert ws.shape == (16, 8, 64)
    torch.testing.assert_close(ws.mean(0), torch.zeros(8, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(ws.var(0, unbiased=False), torch.ones(8, 64), atol=0.05, rtol=0)
    network.eval()
    x = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["disc", "vgg16", "grad", "none"])
def test_features_tell_images_apart(kind, tmp_path):
    torch.manual_seed(0)
    s = tiny(perceptual=kind, vgg16_file=str(tmp_path / "vgg16.pth")).resolved(16)
    features = features_of(s, Discriminator(s))
    a, b = torch.rand(2, 2, 1, 16, 16)
    described = features.describe(a)
    assert features.distance(described, described, 2).abs().max() == 0
    distance = features.distance(described, features.describe(b), 2)
    assert distance.shape == (2,) and (distance > 0).all() == (kind != "none")
    assert (distance <= 4 * len(described) + 1e-5).all() or kind != "disc"  # unit vectors are at most 2 apart


def test_vgg16_is_read_and_checked(tmp_path):
    from torchvision.models.vgg import cfgs, make_layers

    from xmodbench.errors import UserError

    torch.manual_seed(0)
    path = tmp_path / "vgg16.pth"
    s = tiny(perceptual="vgg16", vgg16_file=str(path)).resolved(16)
    features = features_of(s, None)
    with pytest.raises(UserError, match="no such file"):
        read_vgg16(features, path, None)
    reference = make_layers(cfgs["D"]).eval()
    torch.save({f"features.{name}": value for name, value in reference.state_dict().items()}, path)
    digest = read_vgg16(features, path, None)
    with pytest.raises(UserError, match="not the wanted"):
        read_vgg16(features, path, "0" * 64)
    assert read_vgg16(features, path, digest) == digest
    x = torch.rand(1, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(features.describe(x)[0], relu4_3(reference, x))
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as weights of VGG16"):
        read_vgg16(features, path, None)


def test_impossible_settings_are_refused():
    for changes in ({"resolution": 48}, {"perceptual": "vgg16"}, {"lambda_dom": -1}):
        with pytest.raises(ValueError):
            StyleganSettings(**changes)


@pytest.mark.parametrize(("step", "pad"), [((1, 1), 0), ((1, 1), 2), ((2, 2), 1), ((1, 2), 0), ((2, 1), 1)])
def test_constant_filters_are_torchs_correlation_with_both_derivatives(step, pad):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 3, dtype=torch.float64)
    weight = kernel.expand(3, 1, 4, 3)
    found, expected = correlated(x, kernel, step, pad), functional.conv2d(x, weight, None, step, pad, groups=3)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(lambda x: correlated(x, kernel, step, pad), x)
    assert torch.autograd.gradgradcheck(lambda x: correlated(x, kernel, step, pad), x)


def test_no_derivative_of_a_constant_filter_is_looked_for():
    """Of the second derivative's convolutions none may have a kernel larger than the filter."""
    x = torch.randn(2, 5, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(low_pass(x, pad=1).square().sum(), x, create_graph=True)
    with torch.profiler.profile(record_shapes=True) as profile:
        gradient.square().sum().backward()
    shapes = [event.input_shapes for event in profile.events() if event.name == "aten::convolution"]
    assert len(shapes) == 2  # one there and one back
    assert all(weight[2:] == [4, 4] for _, weight, *_ in shapes)
