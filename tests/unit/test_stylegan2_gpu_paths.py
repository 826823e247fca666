"""What StyleGAN2's training does otherwise on a GPU, or for one: adjoint filters, layers of 16 bits; shown on a CPU."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from tests.stylegan2 import run_in, tiny
from xmodbench.learning.gan.losses import r1
from xmodbench.learning.stylegan2 import filters
from xmodbench.learning.stylegan2.discriminator import Discriminator
from xmodbench.learning.stylegan2.generator import Generator
from xmodbench.learning.stylegan2.layers import Conv, ModulatedConv
from xmodbench.learning.stylegan2.losses import path_lengths
from xmodbench.learning.stylegan2.precision import use_half, use_single
from xmodbench.learning.stylegan2.training import GanTraining
from xmodbench.plugins.check import phantom

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
KERNELS = {"square": (4, 4), "row": (1, 12), "column": (12, 1), "odd": (3, 5)}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The adjoint that is used there, in place of torch's transposed convolution."""

    def forward(ctx, y, kernel, step, pad, size):
        ctx.kernel, ctx.step, ctx.pad = kernel, step, pad
        lacking = [
            whole - ((part - 1) * by - 2 * pad + side)
            for whole, part, by, side in zip(size, y.shape[2:], step, kernel.shape, strict=True)
        ]
        return filters._spread(y, kernel, step, pad, lacking)

    monkeypatch.setattr(filters._Spread, "forward", staticmethod(forward))


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("step", [(1, 1), (2, 2), (1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_adjoint_equals_the_transposed_convolution(as_on_a_gpu, kernel, step, pad):
    """For even and odd sizes, of which the stride leaves rows and columns over."""
    torch.manual_seed(0)
    k = torch.rand(KERNELS[kernel], dtype=torch.double)
    for size in ((14, 17), (16, 16), (13, 12)):
        x = torch.rand(2, 3, *size, dtype=torch.double, requires_grad=True)
        found = filters.filtered(x, k, step, pad)
        plain = functional.conv2d(x, k.expand(3, 1, *k.shape), stride=step, padding=pad, groups=3)
        torch.testing.assert_close(found, plain)
        direction = torch.rand_like(plain)
        gradients = [torch.autograd.grad((y * direction).sum(), x)[0] for y in (found, plain)]
        torch.testing.assert_close(*gradients)


def test_second_derivatives_of_the_adjoint_are_right(as_on_a_gpu):
    torch.manual_seed(0)
    k, x = torch.rand(4, 4, dtype=torch.double), torch.rand(1, 2, 6, 7, dtype=torch.double, requires_grad=True)
    for step, pad in (((1, 1), 2), ((2, 2), 1)):
        assert torch.autograd.gradgradcheck(lambda x, s=step, p=pad: filters.filtered(x, k, s, p).square(), x)


def penalties() -> list[torch.Tensor]:
    """Gradients of both penalties by all weights."""
    torch.manual_seed(0)
    s = tiny().resolved(16)
    generator, discriminator = Generator(s), Discriminator(s)
    images = torch.rand(2, 1, 16, 16)
    found = list(torch.autograd.grad(r1(discriminator, images), list(discriminator.parameters()), allow_unused=True))
    ws = torch.randn(2, generator.count, 16, requires_grad=True)
    lengths = path_lengths(lambda ws: generator.synthesis(ws, "none"), ws)
    weights = list(generator.synthesis.parameters())
    found += torch.autograd.grad(lengths.sum(), weights, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def test_penalties_have_the_same_gradients(request):
    want = penalties()
    request.getfixturevalue("as_on_a_gpu")
    found = penalties()
    assert len(found) == len(want) > 20
    largest = torch.stack([gradient.abs().max() for gradient in want])
    assert (largest > 1e-2 * largest.max()).sum() > 10
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * largest.max().item())


def test_the_highest_resolutions_compute_with_16_bits():
    """Two of 16, 8 and 4 pixels; four of them are 16 and 8 as well: 4 pixels never."""
    s = tiny().resolved(16)
    for count, wanted in ((0, []), (1, [16]), (2, [16, 8]), (4, [16, 8])):
        generator, discriminator = Generator(s), Discriminator(s)
        use_half(generator, discriminator, count, 256.0)
        seen = {"generator": set(), "discriminator": set()}
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            for module in network.modules():
                if isinstance(module, (Conv, ModulatedConv)):
                    module.register_forward_hook(
                        lambda module, given, x, found=seen[name]: found.add((x.shape[2], x.dtype))
                    )
        images = generator.synthesis(torch.randn(2, generator.count, 16), "random")
        scores = discriminator(images)
        assert images.dtype == scores.dtype == torch.float32
        half = {name: {side for side, dtype in found if dtype == torch.float16} for name, found in seen.items()}
        assert half["generator"] == set(wanted)
        # its blocks end at half their resolution
        assert half["discriminator"] == {side for top in wanted for side in (top, top // 2)}
        use_single(generator, discriminator)
        for found in seen.values():
            found.clear()
        discriminator(generator.synthesis(torch.randn(2, generator.count, 16), "random"))
        assert {dtype for found in seen.values() for _, dtype in found} == {torch.float32}


@pytest.mark.parametrize("fused", [False, True])
def test_large_weights_and_styles_do_not_overflow_16_bits(fused):
    """Both are scaled before they are rounded, which the demodulation takes out again."""
    torch.manual_seed(0)
    conv, x, w = ModulatedConv(8, 4, 3, 16), torch.randn(2, 8, 6, 6), 300 * torch.randn(2, 16)
    conv.weight.data *= 5000
    want = conv(x, w, fused)
    found = conv(x.half(), w, fused)
    assert found.dtype == torch.float16 and found.isfinite().all()
    torch.testing.assert_close(found.float(), want, rtol=0.02, atol=0.02)


def test_activations_are_clamped():
    s = tiny().resolved(16)
    generator, discriminator = Generator(s), Discriminator(s)
    use_half(generator, discriminator, 0, 0.5)
    images = generator.synthesis(3 * torch.randn(2, generator.count, 16), "random")
    # the sum of the images of three resolutions, of which two have been low-passed
    assert images.abs().max() <= 1.5
    assert discriminator.from_image(50 * images).abs().max() == 0.5
    assert max(features.abs().max() for features in discriminator.features(50 * images)) <= 2**0.5 / 2 + 1e-6


def gan(tmp_path, **changes) -> GanTraining:
    torch.manual_seed(0)
    return GanTraining(tiny(**changes).resolved(16), phantom(8, 1), run_in(tmp_path))


def test_a_step_with_16_bits_is_near_that_with_32(tmp_path):
    """With both penalties, which come in step 0; a clamp of 256 changes nothing here."""
    losses = {}
    for name, changes in (("fp32", {}), ("clamp", {"conv_clamp": 256.0}), ("fp16", {"num_fp16_res": 4})):
        training = gan(tmp_path, **changes)
        losses[name] = torch.stack(list(training.step(0)))
        assert all(parameter.dtype == torch.float32 for parameter in training.generator.parameters())
    assert torch.equal(losses["clamp"], losses["fp32"])
    assert losses["fp16"].isfinite().all() and losses["fp16"][-1] == 0  # no gradient was repaired
    torch.testing.assert_close(losses["fp16"], losses["fp32"], rtol=0.02, atol=0.01)
    assert not torch.equal(losses["fp16"], losses["fp32"])
    training.finish()
    assert not any(getattr(module, "half_precision", False) for module in training.average.modules())


def test_one_kind_of_16_bits_at_a_time():
    with pytest.raises(ValidationError, match="num_fp16_res is for precision 'fp32'"):
        tiny(num_fp16_res=4, precision="bf16")


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("step", [(1, 1), (2, 2)])
def test_gpu_adjoint_equals_the_cpus(step):
    torch.manual_seed(0)
    k, x = torch.rand(4, 4), torch.rand(2, 3, 16, 16)
    found = []
    for device in ("cpu", "cuda"):
        y = x.to(device).requires_grad_()
        filtered = filters.filtered(y, k.to(device), step, 1)
        (gradient,) = torch.autograd.grad(filtered.square().sum(), y, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), y)
        found.append((gradient.cpu(), second.cpu()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@cuda
def test_a_gpu_trains_with_16_bits(tmp_path):
    run = run_in(tmp_path)
    run.device = "cuda"
    torch.manual_seed(0)
    training = GanTraining(tiny(num_fp16_res=4, conv_clamp=256.0).resolved(16), phantom(8, 1), run)
    for step in range(3):
        losses = torch.stack(list(training.step(step)))
    assert losses.isfinite().all() and losses[-1] == 0
