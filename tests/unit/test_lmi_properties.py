"""Stated properties of LMI: which pixels meet, what the kernel table holds, what changes nothing, how much memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.utils._python_dispatch import TorchDispatchMode

from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, find

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion import lmi_cpu, lmi_torch, lmi_windows  # noqa: E402
from xmodbench_methods.midiffusion.lmi import LmiOptions, lmi_map, lmi_scores, smoothed  # noqa: E402
from xmodbench_methods.midiffusion.lmi_windows import kernel_table, sliding_positions  # noqa: E402

PATHS = ["compiled", "torch"]


def noisy_pair(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=rng), torch.randn(shape, generator=rng) * 0.7 + 0.5


def test_windows_of_the_mosaic_follow_the_released_codes_rule():
    n, pad = 128, 128
    rows = sliding_positions(n, LmiOptions())
    for i in range(1, n - 1):
        assert rows[:, i].tolist() == [[i, i - 1, i], [i - 1, i, i + 1], [i, i + 1, i]]
    assert rows[:, 0].tolist() == [[pad, pad, 0], [pad, 0, 1], [0, 1, 0]]
    assert rows[:, n - 1].tolist() == [[n - 1, n - 2, n - 1], [n - 2, n - 1, pad], [n - 1, pad, pad]]


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
@pytest.mark.parametrize("path", PATHS)
def test_smoothing_is_scipys_on_both_images_before_their_windows_are_compared(sigma, path):
    pair = noisy_pair(2, 1, 14, 17)

    def by_scipy(images):
        """In float32, as grey levels are; a level that rounds to another whole one may differ at a few pixels."""
        return np.stack([gaussian_filter(255 * image[0].numpy(), sigma, mode="reflect") for image in images])

    for found, want in zip((smoothed(255 * image[:, 0], sigma) for image in pair), map(by_scipy, pair), strict=True):
        np.testing.assert_allclose(found.numpy(), want, atol=2e-4)
    beforehand = [torch.from_numpy(by_scipy(image) / 255)[:, None].float() for image in pair]
    found, want = lmi_map(*pair, smooth=sigma, path=path), lmi_map(*beforehand, path=path)
    assert ((found - want).abs() > 1e-4).float().mean() < 0.1
    assert (lmi_map(*pair, path=path) - found).abs().mean() > 0.01


def test_smoothing_lets_gradients_through():
    reference, sliding = noisy_pair(1, 1, 9, 9)
    sliding.requires_grad_()
    lmi_map(reference, sliding, smooth=1.0, differentiable=True).sum().backward()
    assert sliding.grad.abs().sum() > 0


def test_whole_grey_levels_survive_their_way_through_float32():
    levels = torch.arange(256)
    assert torch.equal(torch.trunc(255 * (levels / 255)).long(), levels)


@pytest.mark.parametrize("bandwidth", [4.5, 8.0, 19.22])
def test_kernel_table_equals_the_exponential_and_leaves_nothing_out(bandwidth):
    options = LmiOptions(bandwidth=bandwidth)
    levels = torch.arange(-options.margin, 256 + options.margin, dtype=torch.float32)
    centres = torch.arange(27, dtype=torch.float32) * (255 / 26)
    direct = torch.exp(-0.5 * ((levels[:, None] - centres) / bandwidth) ** 2)
    torch.testing.assert_close(torch.from_numpy(kernel_table(options)), direct, atol=2e-6, rtol=2e-5)
    beyond = torch.tensor([-options.margin, 255.0 + options.margin])
    assert torch.exp(-0.5 * ((beyond[:, None] - centres) / bandwidth) ** 2).max() == 0


def test_bins_left_out_by_the_compiled_path_stay_within_the_stated_error():
    """Over all levels, where the kernels vanish as well; the table drops less than its bound and the map less than 5e-6."""
    options = LmiOptions()
    table, first, last, _ = lmi_cpu._kernels(options)
    exact = kernel_table(options)
    dropped = exact - table[:, : options.bins]
    assert (dropped <= lmi_windows.NEGLIGIBLE * exact.max(1, keepdims=True) + lmi_windows.TINY).all()
    assert (last - first)[options.margin + 128] < options.bins  # something is left out at all
    s, _ = noisy_pair(1, 1, 24, 24)
    y = torch.linspace(-0.5, 1.5, 24 * 24).reshape(1, 1, 24, 24)
    for normalise in (False, True):
        want = lmi_scores(s.double(), y.double(), normalise=normalise).amax(-1)[:, None]
        found = lmi_map(s, y, normalise=normalise, path="compiled").double()
        torch.testing.assert_close(found, want, atol=5e-6, rtol=0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("level", [-0.3, -0.4, 1.3, 1.5, 30.0])
def test_saturated_windows_are_2_if_normalised_and_the_reference_entropy_if_not(path, level):
    s, _ = noisy_pair(1, 1, 8, 8)
    far = torch.full_like(s, level)
    inner = (..., slice(2, -2), slice(2, -2))
    assert (lmi_map(s, far, path=path)[inner] - 2).abs().max() < 1e-4
    assert (lmi_map(far, far, path=path)[inner] - 2).abs().max() < 1e-4
    assert lmi_map(far, far, path=path, normalise=False)[inner].abs().max() < 1e-4
    p = kernel_table(LmiOptions())[LmiOptions().margin + torch.trunc(255 * s[0, 0, 2:5, 2:5]).long().ravel().numpy()]
    p = p.mean(0) / p.mean(0).sum()
    entropy = -(p * np.log2(p + 1e-10)).sum()
    assert lmi_map(s, far, path=path, normalise=False)[0, 0, 3, 3].item() == pytest.approx(entropy, abs=2e-4)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
def test_constant_interior_is_zero(path, level):
    image = torch.full((1, 1, 9, 9), level)
    for normalise in (False, True):
        assert lmi_map(image, image, normalise=normalise, path=path)[..., 1:-1, 1:-1].abs().max() < 1e-6


@pytest.mark.parametrize("path", PATHS)
def test_batch_order_changes_nothing(path):
    s, y = noisy_pair(4, 1, 10, 13)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(lmi_map(s[order], y[order], path=path), lmi_map(s, y, path=path)[order])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("options", [{}, {"search": "shift", "radius": 2}, {"window": 5}])
def test_mirrored_images_give_the_mirrored_map(path, options):
    s, y = noisy_pair(1, 1, 9, 12)
    for axis in (-1, -2):
        found = lmi_map(s.flip(axis), y.flip(axis), path=path, **options)
        torch.testing.assert_close(found, lmi_map(s, y, path=path, **options).flip(axis), atol=2e-6, rtol=0)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor made."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(one, torch.Tensor):
                self.largest = max(self.largest, one.numel() * one.element_size())
        return found


def test_chunks_bound_the_memory_of_plain_tensors(monkeypatch):
    s, y = noisy_pair(2, 1, 64, 32)
    whole = 64 * 32 * 27 * 27 * 4  # one offset's joint histograms of one image
    monkeypatch.setattr(lmi_torch, "CHUNK_BYTES", whole // 4)
    with LargestTensor() as small:
        cut = lmi_map(s, y, path="torch")
    assert small.largest <= whole // 4
    monkeypatch.undo()
    with LargestTensor() as large:
        torch.testing.assert_close(lmi_map(s, y, path="torch"), cut)
    assert large.largest == whole


def test_compiled_path_needs_memory_for_the_images_only():
    s, y = noisy_pair(4, 1, 96, 96)
    lmi_map(s[:1], y[:1])
    tracemalloc.start()
    lmi_map(s, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * s.numel() * 4 + 2**20


FRESH = """
import hashlib, torch
from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, find
find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion.lmi import lmi_map
torch.set_num_threads(1)
s = torch.nn.functional.avg_pool2d(torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(0)), 5, 1, 2)
y = s + 0.5 * torch.randn(s.shape, generator=torch.Generator().manual_seed(1))
maps = [lmi_map(s, other, normalise=normalise, path="compiled") for other in (s, y) for normalise in (True, False)]
print(hashlib.md5(torch.cat(maps).numpy().tobytes()).hexdigest())
"""


def test_maps_are_the_same_whether_compiled_here_or_loaded_from_the_cache(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", FRESH]
    compiled, loaded = (subprocess.check_output(command, env=environment, text=True) for _ in range(2))
    assert compiled == loaded
