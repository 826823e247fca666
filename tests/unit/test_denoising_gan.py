"""Networks of denoising diffusion GANs: published sizes, resampling, and that all that goes in has its say."""

from __future__ import annotations

import pytest
import torch

from xmodbench.learning.denoising_gan.judge import DownBlock, TimeJudge
from xmodbench.learning.denoising_gan.layers import halved
from xmodbench.learning.denoising_gan.ncsnpp import Ncsnpp, attention_level
from xmodbench.learning.diffusion.networks import network_of
from xmodbench.learning.gan.layers import doubled
from xmodbench.learning.gan.losses import r1
from xmodbench.plugins import METHODS, find


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_the_published_sizes():
    """FGDM's, counted in its code; at 192 pixels, as published, none of its levels has 16, at 128 the last has."""
    settings = find(METHODS, "fgdm").cls.Config().resolved()
    with torch.device("meta"):  # shapes without numbers
        assert count(network_of(settings, 2)) == 40_243_841
        assert count(Ncsnpp(2, 128, (1, 2, 2, 2))) == 39_452_801
        assert count(TimeJudge()) == 27_736_705


@pytest.mark.parametrize(("side", "levels", "level"), [(256, 6, 4), (128, 6, 3), (64, 3, 2), (512, 3, 2), (16, 2, 0)])
def test_attention_looks_at_16_pixels(side, levels, level):
    assert attention_level((side, side), levels) == level


def test_halving_and_doubling_keep_a_plane():
    ramp = torch.arange(16.0).repeat(1, 1, 16, 1)
    torch.testing.assert_close(halved(ramp)[0, 0, 2:-2, 1:-1], ramp[0, 0, :4, 2:-2:2] + 0.5)
    torch.testing.assert_close(doubled(ramp)[0, 0, 0, 2:-2], torch.arange(2, 30) / 2 - 0.25)


def test_what_is_added_to_a_skip_connection_begins_at_zero():
    """In the judge's blocks as in the generator's (Xiao et al.'s code)."""
    block = DownBlock(8, 8, 4)
    x = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(block(x, torch.randn(2, 4)), block.skip(halved(x)) / 2**0.5, atol=1e-4, rtol=0)


def lively(latent=0, **options):
    """A small network whose last layers do not begin at zero."""
    torch.manual_seed(0)
    network = Ncsnpp(2, 8, (1, 2), 1, 1, latent, 8, **options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return network


@pytest.mark.parametrize("latent", [0, 5])
@pytest.mark.parametrize("size", [(16, 16), (21, 18)])
def test_the_generator_takes_any_size_and_sees_all_it_is_given(size, latent):
    network = lively(latent)
    given = [torch.randn(2, 2, *size), torch.tensor([0, 3]), *([torch.randn(2, latent)] if latent else [])]
    found = network(*given)
    assert found.shape == (2, 1, *size) and found.abs().max() <= 1
    turned = torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1) * given[0]
    for place, other in ((0, turned), (0, -turned), (1, 3 - given[1]), *([(2, -given[2])] if latent else [])):
        assert not torch.allclose(found, network(*(other if k == place else x for k, x in enumerate(given))))


def test_dropout_is_for_training_alone():
    network, x, t = lively(dropout=0.5), torch.randn(1, 2, 16, 16), torch.tensor([1])
    assert not torch.equal(network(x, t), network(x, t))
    network.eval()
    assert torch.equal(network(x, t), network(x, t))


def test_weights_of_16_bits_answer_nearly_the_same():
    network, x, t = lively().eval(), torch.rand(1, 2, 16, 16), torch.tensor([1])
    full, half = network(x, t), network.to(torch.bfloat16)(x, t)
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=0.1, rtol=0)


def test_r1_is_the_squared_gradient():
    found = r1(lambda x: 2 * x.sum((1, 2, 3)), torch.randn(3, 1, 4, 4))
    assert found.item() == pytest.approx(4 * 16)
