"""Random numbers without a state: the generator's published answers, their distribution, and what they depend on."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from xmodbench.learning import philox
from xmodbench.learning.image_noise import image_noise
from xmodbench.seeding import ImageGenerator

ONES = 0xFFFFFFFF
KNOWN = [  # Random123's file of known answers, philox4x32 of 10 rounds: counter, key, words
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_words_are_the_published_ones(counter, key, words):
    found = philox.philox(*(tuple(torch.tensor([word]) for word in part) for part in (counter, key)))
    assert [word.item() for word in found] == [int(word, 16) for word in words.split()]


def numbers(seeds, draws, *size) -> torch.Tensor:
    return philox.normal(torch.tensor(seeds), torch.tensor(draws), size)


def test_numbers_are_normal_and_independent():
    found = numbers([1, 2], [0, 0], 1, 250, 251).double()
    assert stats.kstest(found.flatten().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(found[0].flatten().numpy(), "norm").pvalue > 0.01
    one, other = found.flatten(1).numpy()
    near = 4 / len(one) ** 0.5
    assert abs(np.corrcoef(one, other)[0, 1]) < near
    for lag in (1, len(one) // 4, 251):  # a quarter apart stand the numbers of one counter
        assert abs(np.corrcoef(one[lag:], one[:-lag])[0, 1]) < near


def test_an_images_numbers_depend_on_its_seed_and_draw_alone():
    seeds, draws = [7, 2**62 + 5, 9], [0, 3, 1]
    together = numbers(seeds, draws, 1, 5, 3)
    for place in (2, 0, 1):
        alone = numbers(seeds[place : place + 1], draws[place : place + 1], 1, 5, 3)
        assert torch.equal(alone[0], together[place])
    everything = numbers([7, 7, 8, 7 + 2**40], [0, 1, 0, 0], 1, 5, 3)
    assert len({tuple(image.flatten().tolist()) for image in everything}) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_any_number_of_numbers(count):
    assert numbers([3], [1], count).shape == (1, count)


def test_noise_on_a_device_goes_on_from_draw_to_draw(monkeypatch):
    """A CPU keeps torch's stream; whatever else `image_noise` is asked for has counted draws."""
    monkeypatch.setattr("xmodbench.learning.image_noise.handed", lambda tensor, device: tensor)
    generators = [ImageGenerator.of(1, name) for name in "ab"]
    noise = image_noise(generators, (6, 5), "elsewhere")
    first, second = noise(), noise()
    seeds = [one.seed for one in generators]
    assert torch.equal(first, numbers(seeds, [0, 0], 1, 6, 5))
    assert torch.equal(second, numbers(seeds, [1, 1], 1, 6, 5))
    own = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(seeds[1]))
    assert torch.equal(image_noise(generators, (6, 5), "cpu")()[1], own)


SCRIPT = """
import torch
from xmodbench.learning import philox, philox_triton
seeds, draws = torch.tensor([5, 2**62 + 12345, 0]), torch.tensor([0, 2, 2**31 - 1])
for size in ((1, 9, 7), (2, 2), (1, 33, 35)):
    found, want = philox_triton.normal(seeds, draws, size), philox.normal_of_tensors(seeds, draws, size)
    torch.testing.assert_close(found, want, atol=2e-6, rtol=2e-6)
"""


def test_the_fused_kernel_makes_the_same_numbers_in_the_interpreter():
    pytest.importorskip("triton", reason="no Triton for this platform")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_fused_kernel_compiles_for_an_h100_without_conversions():
    pytest.importorskip("triton", reason="no Triton for this platform")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from xmodbench.learning.philox_triton import BLOCK, normals

    kinds = {"out": "*fp32", "seeds": "*i64", "draws": "*i64", "count": "i32", "quarter": "i32", "BLOCK": "constexpr"}
    place = (normals.arg_names.index("BLOCK"),)
    source = ASTSource(fn=normals, signature=kinds, constexprs={place: BLOCK})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert compiled.metadata.shared == 0 and "convert_layout" not in compiled.asm["ttgir"]


def test_a_kernel_that_fails_is_not_used():
    """On a CPU it cannot be launched at all."""
    pytest.importorskip("triton", reason="no Triton for this platform")
    philox._kernel_works.cache_clear()
    with pytest.warns(UserWarning, match="kernel of random numbers is not used"):
        assert not philox._kernel_works(torch.device("cpu"))
    philox._kernel_works.cache_clear()


@pytest.mark.gpu
@cuda
def test_numbers_on_a_gpu_are_those_of_a_cpu():
    seeds, draws = torch.tensor([5, 2**62 + 12345]), torch.tensor([0, 2])
    assert philox._kernel_works(torch.device("cuda", 0))
    found = philox.normal(seeds.cuda(), draws.cuda(), (1, 128, 128)).cpu()
    torch.testing.assert_close(found, philox.normal(seeds, draws, (1, 128, 128)), atol=1e-5, rtol=1e-5)
