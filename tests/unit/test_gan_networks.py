"""Networks of the adversarial methods: published sizes, filters by their definition, statistics of the first weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.nn import functional

from xmodbench.learning.gan.contrast import Projections
from xmodbench.learning.gan.layers import BatchNorm, BlurDown, BlurUp, Dropout, initialise
from xmodbench.learning.gan.networks import PatchDiscriminator, ResnetGenerator, smallest_side
from xmodbench.plugins import METHODS, find

find(METHODS, "pix2pix")
find(METHODS, "cut")
from xmodbench_methods.cut.game import nce_layers  # noqa: E402
from xmodbench_methods.pix2pix.unet import UnetGenerator, depth_for  # noqa: E402


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_networks_have_the_published_numbers_of_parameters():
    assert parameters(ResnetGenerator(blocks=9)) == 11_365_633
    assert parameters(ResnetGenerator(blocks=6)) == 7_825_153
    assert parameters(ResnetGenerator(channels=3)) == 11_378_179
    assert parameters(ResnetGenerator(antialias=True)) == 11_365_633  # filters are not learned
    assert parameters(PatchDiscriminator()) == 2_762_689


def test_pix2pix_and_cut_have_the_sizes_their_code_prints():
    assert parameters(UnetGenerator(8)) == pytest.approx(54.408e6, abs=500)
    assert parameters(UnetGenerator(6)) == pytest.approx(29.238e6, abs=500)
    assert parameters(PatchDiscriminator(norm="batch", channels=2)) == pytest.approx(2.765e6, abs=500)
    assert parameters(PatchDiscriminator(layers=2, norm="batch", channels=2)) == pytest.approx(0.662e6, abs=500)
    assert parameters(Projections([3, 128, 256, 256, 256])) == pytest.approx(0.560e6, abs=500)


@pytest.mark.parametrize(("side", "scores"), [(256, 30), (128, 14), (64, 6), (32, 2)])
def test_discriminator_scores_a_map_of_patches(side, scores):
    assert PatchDiscriminator(4)(torch.zeros(1, 1, side, side)).shape == (1, 1, scores, scores)


@pytest.mark.parametrize(("layers", "field"), [(3, 70), (2, 34)])
def test_a_score_sees_a_patch_of_the_published_size(layers, field):
    # without normalisation, which looks at whole images
    network = PatchDiscriminator(4, layers)
    plain = torch.nn.Sequential(*(m for m in network.layers if not isinstance(m, torch.nn.InstanceNorm2d))).double()
    image = torch.randn(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    scores = plain(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_side_is_scored_and_a_smaller_one_is_not(layers, antialias):
    network = PatchDiscriminator(4, layers, antialias=antialias)
    side = smallest_side(layers)
    assert torch.isfinite(network(torch.randn(1, 1, side, side))).all()
    with pytest.raises((ValueError, RuntimeError)):
        network(torch.randn(1, 1, side - 2**layers, side - 2**layers))


@pytest.mark.parametrize("size", [(32, 32), (33, 46), (50, 37)])
@pytest.mark.parametrize("make", [lambda: ResnetGenerator(4, 1), lambda: ResnetGenerator(4, 1, True)])
def test_resnet_takes_any_size(make, size):
    result = make()(torch.zeros(2, 1, *size))
    assert result.shape == (2, 1, *size)


@pytest.mark.parametrize("size", [(32, 32), (50, 37), (33, 70)])
def test_unet_takes_any_size(size):
    assert UnetGenerator(depth_for(size), 4)(torch.zeros(1, 1, *size)).shape == (1, 1, *size)
    assert [depth_for((side, side)) for side in (16, 32, 64, 128, 192, 256, 512)] == [5, 5, 6, 7, 7, 8, 8]


def test_padding_changes_nothing_that_fits():
    network = ResnetGenerator(4, 1).eval()
    image = torch.randn(1, 1, 32, 36)
    assert torch.equal(network(image), network.layers(image))


def test_blurring_down_is_the_binomial_filter_then_every_other_pixel():
    image = np.random.default_rng(0).standard_normal((17, 20))
    blurred = correlate1d(correlate1d(image, [0.25, 0.5, 0.25], 0, mode="mirror"), [0.25, 0.5, 0.25], 1, mode="mirror")
    found = BlurDown(3)(torch.from_numpy(np.stack([image] * 3)[None]))
    np.testing.assert_allclose(found[0, 2].numpy(), blurred[::2, ::2], atol=1e-7)


def test_blurring_up_is_the_filter_of_the_published_code():
    image = torch.randn(1, 1, 5, 7, dtype=torch.float64)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    kernel = torch.outer(line, line)[None, None] / 16
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    expected = functional.conv_transpose2d(padded, kernel, stride=2, padding=2)[..., 1:-1, 1:-1]
    close(BlurUp()(image), expected)


def test_contrast_is_taken_from_the_published_layers():
    network = ResnetGenerator(4, 9, antialias=True)
    features = network.features(torch.zeros(1, 1, 32, 32), nce_layers(9))
    assert nce_layers(9) == [0, 4, 8, 12, 16]
    assert [tuple(layer.shape[1:]) for layer in features] == [
        (1, 38, 38),
        (8, 32, 32),
        (16, 16, 16),
        (16, 8, 8),
        (16, 8, 8),
    ]
    assert nce_layers(3) == [0, 4, 8, 12, 14]
    assert nce_layers(1) == [0, 4, 8, 12]


def test_features_are_what_the_whole_network_computes():
    network = ResnetGenerator(4, 5, antialias=True)
    image, seen = torch.randn(1, 1, 32, 32), {}
    hooks = [network.layers[i].register_forward_hook(lambda m, x, y, i=i: seen.update({i: y})) for i in nce_layers(5)]
    network(image)
    for hook in hooks:
        hook.remove()
    for index, layer in zip(nce_layers(5), network.features(image, nce_layers(5)), strict=True):
        assert torch.equal(layer, seen[index])


@pytest.mark.parametrize(("how", "gain"), [("normal", 0.02), ("xavier", 0.02)])
def test_first_weights_have_the_published_spread(how, gain):
    torch.manual_seed(0)
    network = initialise(ResnetGenerator(32, 1), how, gain)
    weight = network.layers[10].layers[1].weight  # 128 to 128 channels, 3 x 3
    expected = gain if how == "normal" else gain * (2 / (2 * 128 * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    assert abs(weight.mean().item()) < expected / 50
    assert all((module.bias == 0).all() for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    norm = initialise(BatchNorm(20_000), "normal", 0.02)
    assert norm.weight.mean().item() == pytest.approx(1, abs=1e-3)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_batch_norm_has_statistics_of_the_batch_then_of_each_image():
    norm = initialise(BatchNorm(3), "normal", 0.5)
    x = torch.randn(4, 3, 6, 6) * torch.arange(1, 5).view(4, 1, 1, 1)
    reference = functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
    close(norm.train()(x), reference)
    alone = torch.cat([norm.train()(image[None]) for image in x])
    close(norm.eval()(x), alone)


def test_dropout_in_translation_belongs_to_the_image():
    layer, x = Dropout(0.5).eval(), torch.ones(2, 8, 40, 40)
    assert torch.equal(layer(x), x)
    layer.generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    both = layer(x)
    assert set(both.unique().tolist()) == {0.0, 2.0}
    assert both.mean().item() == pytest.approx(1, abs=0.05)
    layer.generators = [torch.Generator().manual_seed(2)]
    assert torch.equal(layer(x[:1])[0], both[1])
    assert not torch.equal(both[0], both[1])
